import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { numberOf } from '../../../src/cell/network/addresses.ts';
import { Logger } from '../../../src/kit/log.ts';
import { ownAddresses, routerPorts } from '../../../src/platform/addresses.ts';
import { cellZone, gardenSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import { loadSettings } from '../../../src/platform/settings/store.ts';

function scratch(t: { after: (done: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-cells-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('cells are dealt out over the zones, and each has a range and an address that is nobody else’s', async (t) => {
  const dataDirectory = scratch(t);
  const settings = await ensureSettings({ dataDirectory, cells: 8, zones: 3 });
  const layout = layoutOf(settings);
  const log = new Logger('test', {}, () => {});
  const cells = Array.from({ length: 8 }, (_, index) => index);
  assert.deepEqual(
    cells.map((index) => cellZone(settings, index)),
    ['z1', 'z2', 'z3', 'z1', 'z2', 'z3', 'z1', 'z2'],
  );
  const networks = cells.map((index) => gardenSettingsOf(layout, index, log).network);
  assert.equal(new Set(networks.map(({ range }) => range)).size, 8);
  const own = ownAddresses(settings);
  assert.equal(new Set(own).size, 10, 'eight cells, the router and the gateway');
  for (const { range } of networks) {
    const first = numberOf(range.split('/')[0]!);
    for (const address of own) {
      const value = numberOf(address);
      assert.ok(value < first || value > first + 255, `${address} is no container's`);
    }
  }
  assert.deepEqual(routerPorts(settings), [443, 80]);
  assert.deepEqual(routerPorts({ httpsPort: 8443, httpPort: null }), [8443]);
});

test('zones and tags are kept, refused where they make no sense, and have defaults for older installations', async (t) => {
  const dataDirectory = scratch(t);
  const options = { dataDirectory, cells: 2, zones: 2, cellTags: [[], ['secure']] };
  await ensureSettings(options);
  assert.deepEqual((await ensureSettings(options)).cellTags, [[], ['secure']]);
  await assert.rejects(ensureSettings({ ...options, zones: 1 }), { code: 'settings_conflict' });
  await assert.rejects(ensureSettings({ ...options, cellTags: [['secure']] }), {
    code: 'settings_conflict',
    message: new RegExp(`^--cell-tags is cell-1=secure in ${dataDirectory}; leave the option out, or `),
  });
  const fresh = scratch(t);
  await assert.rejects(ensureSettings({ dataDirectory: fresh, cells: 2, zones: 3 }), { code: 'invalid_option' });
  await assert.rejects(ensureSettings({ dataDirectory: fresh, cells: 1, cellTags: [[], ['x']] }), {
    code: 'invalid_option',
  });
  assert.equal(loadSettings(fresh), null);
});
