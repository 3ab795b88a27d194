import { routerSettingsOf } from '../../src/platform/cell-settings.ts';
import { layoutOf } from '../../src/platform/layout.ts';
import type { PlatformSettings } from '../../src/platform/settings/schema.ts';
import type { RouterSettings } from '../../src/router/index.ts';

/** Settings as a first `up` makes them, of an installation that does not exist. */
export function testSettings(changes: Partial<PlatformSettings> = {}): PlatformSettings {
  const dataDirectory = changes.dataDirectory ?? '/var/lib/cupola-test';
  return {
    id: 'abc',
    dataDirectory,
    keyFile: `${dataDirectory}/key`,
    domain: 'cupola.localhost',
    bindAddress: '127.0.0.1',
    httpsPort: 443,
    httpPort: 80,
    cells: 1,
    zones: 1,
    cellTags: [],
    sshPort: 2222,
    ports: { control: 1, rpc: 2, nats: 3, ssh: 6, rep: [4], proxy: [5] },
    overlay: '10.200',
    gateway: '169.254.1.1',
    resolverAddress: '127.0.53.1',
    uidRangeBase: 1_048_576,
    adminUser: 'admin',
    ...changes,
  };
}

/** Those of the router of such an installation. */
export function routerSettings(changes: Partial<RouterSettings>): RouterSettings {
  return { ...routerSettingsOf(layoutOf(testSettings()), 1_000), ...changes };
}
