import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { pinEngines, unpinAll, useEngines } from '../../src/kit/engines.ts';
import type { Logger } from '../../src/kit/log.ts';
import { makeDirectory, removeTree } from '../../src/kit/owned-files.ts';
import { run } from '../../src/kit/process.ts';
import type { Account } from '../../src/platform/account.ts';
import { ComponentCertificates } from '../../src/platform/certificates.ts';
import { listeningSockets } from '../../src/platform/components/listeners.ts';
import type { Parts } from '../../src/platform/components/parts.ts';
import type { Accounts } from '../../src/platform/host/accounts.ts';
import { layoutOf } from '../../src/platform/layout.ts';
import { Listeners } from '../../src/platform/listeners.ts';
import { makeAuthorities } from '../../src/platform/make-authorities.ts';
import type { Secrets } from '../../src/platform/secrets.ts';
import { imageRoot } from './haproxy.ts';
import { silentLog } from './postgresql.ts';
import { testSettings } from './settings.ts';

export interface TestParts {
  parts: Parts;
  /** The roots that components are given from now on. */
  replaceRoots(): Promise<void>;
  remove(): Promise<void>;
}

/** Roots of its own, and nothing else that is secret. */
export async function testSecrets(): Promise<Secrets> {
  return {
    ...(await makeAuthorities(1)),
    rotation: null,
    databaseKey: '',
    blobSigningKey: '',
    adminPassword: '',
    sshHostKey: '',
    clientSecrets: { admin: '', cloudController: '', sshProxy: '' },
  };
}

/** What the supervisor makes components of, for an installation without a supervisor, with engines of the image. `id`: three letters no other has. Needs root. */
export async function testParts(id: string, httpsPort: number, log: Logger = silentLog): Promise<TestParts> {
  const dataDirectory = mkdtempSync('/tmp/cupola-parts-');
  const ports = { control: httpsPort + 2, rpc: 2, nats: httpsPort + 3, ssh: 6, rep: [4], proxy: [httpsPort + 4] };
  const changes = { id, dataDirectory, httpsPort, httpPort: httpsPort + 1, ports, gateway: '127.0.54.1' };
  const layout = layoutOf(testSettings(changes));
  mkdirSync(layout.logs);
  makeDirectory(layout.run, { mode: 0o711 });
  const tree = { pin: layout.enginePinOf('test'), root: imageRoot() };
  await pinEngines(tree);
  useEngines(tree);
  const accounts = await testAccounts();
  makeDirectory(`${dataDirectory}/control`, { mode: 0o700, owner: accounts.control });
  let secrets = await testSecrets();
  const parts: Parts = {
    layout,
    program: '',
    engines: '',
    engineRoot: tree.root,
    accounts,
    secrets: () => secrets,
    certificates: new ComponentCertificates(() => secrets, layout.certificatesFile),
    enginesRun: Promise.resolve(),
    listeners: new Listeners(listeningSockets(layout, accounts), layout.listenersFile),
    onExit: () => {},
    onFault: () => {},
    log,
  };
  return {
    parts,
    replaceRoots: async () => {
      secrets = { ...secrets, ...(await makeAuthorities(2)) };
    },
    remove: async () => {
      useEngines(null);
      await unpinAll(layout.enginePins);
      await removeTree(layout.run);
      rmSync(dataDirectory, { recursive: true });
    },
  };
}

/** Numbers that no account of the machine has, but for PostgreSQL, which asks for its name. */
async function testAccounts(): Promise<Accounts> {
  let uid = 64_400;
  const next = (name: string): Account => ({ name, uid: ++uid, gid: uid });
  return {
    control: next('control'),
    postgresql: {
      name: 'postgres',
      uid: Number(await run('id', ['-u', 'postgres'])),
      gid: Number(await run('id', ['-g', 'postgres'])),
    },
    nats: next('nats'),
    router: next('router'),
    listeners: next('listeners'),
    dns: next('dns'),
    containerDns: next('dns-containers'),
    proxies: [next('proxy-0')],
  };
}
