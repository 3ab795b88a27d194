import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureAddress } from '../cell/network/host.ts';
import { type CellProxySettings, prepareCellProxy } from '../cell/proxy/index.ts';
import { maxConnectionsFor } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import type { SocketAddress } from '../kit/sockets.ts';
import { prepareRouter, routerListeners } from '../router/index.ts';
import type { CellBootstrap, ControlBootstrap, SystemBuildpackFile } from './bootstrap.ts';
import { cellName, cellProxySettingsOf, routerSettingsOf } from './cell-settings.ts';
import type { ComponentCertificates } from './certificates.ts';
import { type Component, launch } from './component.ts';
import {
  type Account,
  createRooms,
  type PostgresqlSettings,
  preparePostgresql,
  startPostgresql,
} from './engines/postgresql.ts';
import type { Accounts } from './host/accounts.ts';
import { type Asker, renderDnsConfig, upstreamNameservers } from './host/names.ts';
import { FIRST_INHERITED, type Listeners, type Listening, type UnixSocket } from './listeners.ts';
import type { Secrets } from './secrets.ts';
import type { Layout } from './settings.ts';
import { readStagingEnvironment } from './staging-environment.ts';

export interface Parts {
  layout: Layout;
  accounts: Accounts;
  secrets: Secrets;
  certificates: ComponentCertificates;
  listeners: Listeners;
  /** A process that was started ended. */
  onExit: () => void;
  log: Logger;
}

/** Every process of the platform, in the order of their first start. */
export function components(parts: Parts): Component[] {
  const { settings } = parts.layout;
  const cells = Array.from({ length: settings.cells }, (_, index) => index);
  return [
    listenerHolder(parts),
    dns(parts, 'machine'),
    dns(parts, 'containers'),
    postgresql(parts),
    nats(parts),
    router(parts),
    ...cells.map((index) => cellProxy(parts, index)),
    control(parts),
    ...cells.map((index) => cell(parts, index)),
  ];
}

/** The component that holds the listening sockets. */
export const LISTENER_HOLDER = 'listeners';

/** Every listening socket that outlives whoever accepts on it. */
export function listeningSockets(layout: Layout, accounts: Parts['accounts']): Listening[] {
  const cells = Array.from({ length: layout.settings.cells }, (_, index) => index);
  return [
    ...routerListeners(routerSettingsOf(layout, maxConnections())),
    ...cells.map((index) =>
      cellProxyListener(cellProxySettingsOf(layout, index, accounts.proxies[index]!, maxConnections())),
    ),
    accessLogSocket(layout, accounts),
  ];
}

/** HAProxy connects to it time and again: were nobody listening while control is away, that would cost it a whole core. */
function accessLogSocket(layout: Layout, accounts: Parts['accounts']): UnixSocket {
  const { logSocket } = routerSettingsOf(layout, maxConnections());
  return { path: logSocket, uid: accounts.control.uid, gid: accounts.router.gid };
}

/** Keeps the sockets open, and does nothing else, while both an engine and the supervisor are gone. */
function listenerHolder({ layout, accounts, listeners, onExit }: Parts): Component {
  return {
    name: LISTENER_HOLDER,
    account: accounts.router,
    stopSignal: 'SIGTERM',
    start: async () => {
      prepareAccessLogDirectory(layout, accounts);
      return launch({
        command: 'sleep',
        args: ['infinity'],
        account: accounts.router,
        inherit: listeners.forHolder(),
        logFile: `${layout.logs}/listeners.log`,
        onExit,
      });
    },
  };
}

function prepareAccessLogDirectory(layout: Layout, accounts: Parts['accounts']): void {
  folder(`${layout.run}/router`, null, 0o711);
  folder(`${layout.run}/router/log`, { ...accounts.control, gid: accounts.router.gid }, 0o2710);
}

function dns({ layout, accounts }: Parts, asker: Asker): Component {
  const name = asker === 'machine' ? 'dns' : 'dns-containers';
  const account = asker === 'machine' ? accounts.dns : accounts.containerDns;
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    start: async () => {
      if (asker === 'containers') await ensureAddress(layout.settings.gateway);
      const directory = folder(`${layout.run}/${name}`, account, 0o700);
      const config = join(directory, 'dnsmasq.conf');
      ownedFile(config, renderDnsConfig(layout.settings, asker, upstreamNameservers(layout.settings)), account);
      const args = ['--keep-in-foreground', `--conf-file=${config}`, '--log-facility=-', '--pid-file='];
      return launch({
        command: 'dnsmasq',
        args,
        account,
        bindLowPorts: true,
        logFile: `${layout.logs}/${name}.log`,
      });
    },
  };
}

/** Roles and schemas of the rooms of control. */
const ROOMS = ['uaa', 'cc', 'bbs'];

function postgresql({ layout, accounts }: Parts): Component {
  const settings: PostgresqlSettings = {
    dataDirectory: `${layout.run}/postgresql/data`,
    socketDirectory: `${layout.run}/postgresql/socket`,
    account: accounts.postgresql,
    clientAccount: accounts.control.name,
    database: 'cupola',
    rooms: ROOMS,
  };
  return {
    name: 'postgresql',
    account: accounts.postgresql,
    stopSignal: 'SIGINT', // fast shutdown
    start: async () => {
      await preparePostgresql(settings);
      const identity = await startPostgresql(settings, `${settings.dataDirectory}/server.log`);
      await createRooms(settings);
      return identity;
    },
  };
}

function nats({ layout, accounts, certificates }: Parts): Component {
  return {
    name: 'nats',
    account: accounts.nats,
    stopSignal: 'SIGTERM',
    start: async () => {
      const directory = folder(`${layout.run}/nats`, accounts.nats, 0o700);
      const identity = await certificates.component('nats', ['nats', 'localhost']);
      ownedFile(`${directory}/cert.pem`, identity.cert, accounts.nats);
      ownedFile(`${directory}/key.pem`, identity.key, accounts.nats);
      ownedFile(`${directory}/ca.pem`, identity.ca, accounts.nats);
      const config = `listen: "127.0.0.1:${layout.settings.ports.nats}"
max_payload: 65536
tls { cert_file: "${directory}/cert.pem", key_file: "${directory}/key.pem", ca_file: "${directory}/ca.pem", verify: true, timeout: 5 }
`;
      ownedFile(`${directory}/nats.conf`, config, accounts.nats);
      return launch({
        command: 'nats-server',
        args: ['-c', `${directory}/nats.conf`],
        account: accounts.nats,
        logFile: `${layout.logs}/nats.log`,
      });
    },
  };
}

function router({ layout, accounts, certificates, secrets, listeners, onExit, log }: Parts): Component {
  return {
    name: 'router',
    account: accounts.router,
    stopSignal: 'SIGTERM',
    start: async () => {
      const settings = routerSettingsOf(layout, maxConnections());
      const base = folder(`${layout.run}/router`, null, 0o711);
      folder(settings.runDirectory, { ...accounts.router, uid: 0 }, 0o750);
      folder(`${base}/certificates`, accounts.router, 0o700);
      folder(`${base}/sockets`, { ...accounts.router, gid: accounts.control.gid }, 0o2710);
      const front = await certificates.front(layout.settings.domain);
      const own = await certificates.component('router');
      ownedFile(settings.certificates.front, `${front.cert}${front.key}`, accounts.router);
      ownedFile(settings.certificates.client, `${own.cert}${own.key}`, accounts.router);
      ownedFile(settings.certificates.instanceCa, secrets.identityRoot.cert, accounts.router);
      ownedFile(settings.certificates.platformCa, secrets.platformRoot.cert, accounts.router);
      const inherit = listeners.descriptors(routerListeners(settings));
      const { configFile, problem } = await prepareRouter(settings, numbersOf(inherit));
      if (problem) log.warn('the router starts without routes until control brings them', { problem });
      const args = ['-db', '-f', configFile];
      return launch({
        command: 'haproxy',
        args,
        account: accounts.router,
        inherit,
        logFile: `${layout.logs}/router.log`,
        onExit,
      });
    },
  };
}

function cellProxy({ layout, accounts, secrets, listeners, onExit }: Parts, index: number): Component {
  const account = accounts.proxies[index]!;
  const name = `${cellName(index)}-proxy`;
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    start: async () => {
      const settings = cellProxySettingsOf(layout, index, account, maxConnections());
      const base = folder(`${layout.run}/${name}`, null, 0o711);
      folder(settings.runDirectory, { ...account, uid: 0 }, 0o750);
      folder(`${base}/socket`, account, 0o700);
      ownedFile(settings.routerCa, secrets.platformRoot.cert, account);
      const inherit = listeners.descriptors([cellProxyListener(settings)]);
      const { configFile } = await prepareCellProxy(settings, FIRST_INHERITED);
      return launch({
        command: 'haproxy',
        args: ['-db', '-f', configFile],
        account,
        inherit,
        logFile: `${layout.logs}/${name}.log`,
        onExit,
      });
    },
  };
}

function control({ layout, accounts, certificates, secrets, listeners }: Parts): Component {
  return {
    name: 'control',
    account: accounts.control,
    stopSignal: 'SIGTERM',
    start: async () => {
      const state = `${layout.run}/control`;
      for (const name of ['blobs', 'router', 'tmp']) folder(`${state}/${name}`, accounts.control, 0o700);
      const bootstrap: ControlBootstrap = {
        settings: layout.settings,
        identity: await certificates.component('control'),
        maxConnections: maxConnections(),
        accessLogDescriptor: FIRST_INHERITED,
        buildpacks: systemBuildpacks(layout),
        stagingEnvironment: readStagingEnvironment(layout),
        secrets: {
          databaseKey: secrets.databaseKey,
          blobSigningKey: secrets.blobSigningKey,
          adminPassword: secrets.adminPassword,
          clientSecrets: secrets.clientSecrets,
          sshHostKey: secrets.sshHostKey,
        },
      };
      return launch({
        command: nodeOf(layout),
        args: [`${layout.program}/src/platform/control.ts`],
        account: accounts.control,
        input: JSON.stringify(bootstrap),
        inherit: listeners.descriptors([accessLogSocket(layout, accounts)]),
        logFile: `${layout.logs}/control.log`,
        environment: { TMPDIR: `${state}/tmp` },
      });
    },
  };
}

function cell({ layout, accounts, certificates, secrets }: Parts, index: number): Component {
  const name = cellName(index);
  return {
    name,
    account: null,
    stopSignal: 'SIGTERM',
    start: async () => {
      for (const directory of ['garden', 'rep']) {
        mkdirSync(`${layout.settings.dataDirectory}/cells/${name}/${directory}`, { recursive: true, mode: 0o700 });
      }
      const bootstrap: CellBootstrap = {
        settings: layout.settings,
        index,
        identity: await certificates.component('cell', [name, 'cell']),
        maxConnections: maxConnections(),
        proxyAccount: { uid: accounts.proxies[index]!.uid, gid: accounts.proxies[index]!.gid },
        routerRoot: secrets.routerRoot.cert,
        instanceIdentity: { intermediate: secrets.identityIntermediate, rootCertificate: secrets.identityRoot.cert },
        buildpacks: systemBuildpacks(layout),
      };
      return launch({
        command: nodeOf(layout),
        args: [`${layout.program}/src/platform/cell.ts`],
        account: null,
        input: JSON.stringify(bootstrap),
        logFile: `${layout.logs}/${name}.log`,
      });
    },
  };
}

function cellProxyListener({ bindAddress, port }: CellProxySettings): SocketAddress {
  return { address: bindAddress, port };
}

/** The numbers inherited descriptors have in the process that gets them. */
function numbersOf(inherit: readonly number[]): number[] {
  return inherit.map((_, index) => FIRST_INHERITED + index);
}

/** The buildpacks that `up` built, at the place where control may read them. */
function systemBuildpacks(layout: Layout): SystemBuildpackFile[] {
  const list = `${layout.settings.dataDirectory}/buildpacks.json`;
  if (!existsSync(list)) return [];
  const built = JSON.parse(readFileSync(list, 'utf8')) as SystemBuildpackFile[];
  return built.map(({ name, position, stack, file, sha256 }) => ({
    name,
    position,
    stack,
    sha256,
    file: file.replace(layout.buildpacks, `${layout.run}/buildpacks`),
  }));
}

/** Node as other accounts can reach it: the project's own through the bind mount. */
function nodeOf(layout: Layout): string {
  const project = new URL('../..', import.meta.url).pathname;
  const path = process.execPath;
  return path.startsWith(project) ? `${layout.program}/${path.slice(project.length)}` : path;
}

/** HAProxy refuses to start with more connections than descriptors; the hard limit is inherited. */
function maxConnections(): number {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('Max open files'));
  const hard = Number(line?.split(/\s+/)[4] ?? 1024);
  return Math.min(8000, maxConnectionsFor(Number.isFinite(hard) ? hard : 1_048_576));
}

function folder(path: string, owner: Pick<Account, 'uid' | 'gid'> | null, mode: number): string {
  mkdirSync(path, { recursive: true });
  chownSync(path, owner?.uid ?? 0, owner?.gid ?? 0);
  chmodSync(path, mode);
  return path;
}

function ownedFile(path: string, content: string, owner: Account): void {
  writeFileSync(path, content, { mode: 0o600 });
  chownSync(path, owner.uid, owner.gid);
  chmodSync(path, 0o600);
}
