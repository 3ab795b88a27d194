import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ensureAddress } from '../cell/network/host.ts';
import { type CellProxySettings, prepareCellProxy, renderCellProxyConfig } from '../cell/proxy/index.ts';
import { HaproxySocket, maxConnectionsFor } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import type { ProcessIdentity } from '../kit/process.ts';
import type { SocketAddress } from '../kit/sockets.ts';
import { prepareRouter, renderRouterConfig, routerListeners } from '../router/index.ts';
import { askAdmin } from './admin-socket.ts';
import type { CellBootstrap, CellRenewal, ControlBootstrap, SystemBuildpackFile } from './bootstrap.ts';
import { cellName, cellProxySettingsOf, routerSettingsOf } from './cell-settings.ts';
import type { ComponentCertificates } from './certificates.ts';
import { type Component, launch } from './component.ts';
import { takeOverArguments, untilTakenOver } from './engines/haproxy.ts';
import { reloadNats, renderNatsConfig } from './engines/nats.ts';
import {
  type Account,
  createRooms,
  type PostgresqlSettings,
  preparePostgresql,
  reloadPostgresql,
  renderPostgresqlConfig,
  startPostgresql,
} from './engines/postgresql.ts';
import type { Accounts } from './host/accounts.ts';
import { type Asker, renderDnsConfig, upstreamNameservers } from './host/names.ts';
import { FIRST_INHERITED, type Listeners, type Listening, type UnixSocket } from './listeners.ts';
import { nodeOf } from './program.ts';
import type { Secrets } from './secrets.ts';
import type { Layout } from './settings.ts';
import { readStagingEnvironment } from './staging-environment.ts';

export interface Parts {
  layout: Layout;
  /** Digest of the code. */
  program: string;
  accounts: Accounts;
  /** As they are now: roots change while components run. */
  secrets: () => Secrets;
  certificates: ComponentCertificates;
  listeners: Listeners;
  /** A process that was started ended. */
  onExit: () => void;
  log: Logger;
}

/** Every process of the platform, in the order in which they are replaced and renewed. */
export function components(parts: Parts): Component[] {
  const { settings } = parts.layout;
  const cells = Array.from({ length: settings.cells }, (_, index) => index);
  return [
    listenerHolder(parts),
    dns(parts, 'machine'),
    dns(parts, 'containers'),
    postgresql(parts),
    nats(parts),
    ...cells.map((index) => cellProxy(parts, index)),
    router(parts),
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
    account: accounts.listeners,
    stopSignal: 'SIGTERM',
    // Another set of sockets is another holder anyway.
    fingerprint: () => 'sleep',
    start: async () => {
      prepareAccessLogDirectory(layout, accounts);
      return launch({
        command: 'sleep',
        args: ['infinity'],
        account: accounts.listeners,
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
  const render = (upstreams: readonly string[]): string => renderDnsConfig(layout.settings, asker, upstreams);
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    // Without the machine's own name servers: they come and go, and are no reason to restart.
    fingerprint: once(() => digestOf(render([]))),
    start: async () => {
      if (asker === 'containers') await ensureAddress(layout.settings.gateway);
      const directory = folder(`${layout.run}/${name}`, account, 0o700);
      const config = join(directory, 'dnsmasq.conf');
      ownedFile(config, render(upstreamNameservers(layout.settings)), account);
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

/** A process that does not answer by then is tried again later. */
const RENEW_LIMIT_MS = 60_000;

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
  const logFile = `${settings.dataDirectory}/server.log`;
  return {
    name: 'postgresql',
    account: accounts.postgresql,
    stopSignal: 'SIGINT', // fast shutdown
    fingerprint: once(() => digestOf(renderPostgresqlConfig(settings), ROOMS.join())),
    takeOver: async () => {
      const identity = await reloadPostgresql(settings, logFile);
      await createRooms(settings);
      return identity;
    },
    start: async () => {
      await preparePostgresql(settings);
      const identity = await startPostgresql(settings, logFile);
      await createRooms(settings);
      return identity;
    },
  };
}

function nats({ layout, accounts, certificates }: Parts): Component {
  const { nats: port } = layout.settings.ports;
  const directory = `${layout.run}/nats`;
  const writeIdentity = async (): Promise<string> => {
    folder(directory, accounts.nats, 0o700);
    const identity = await certificates.component('nats', ['nats', 'localhost']);
    ownedFile(`${directory}/cert.pem`, identity.cert, accounts.nats);
    ownedFile(`${directory}/key.pem`, identity.key, accounts.nats);
    ownedFile(`${directory}/ca.pem`, identity.ca, accounts.nats);
    return identity.cert;
  };
  return {
    name: 'nats',
    account: accounts.nats,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(renderNatsConfig(port, directory))),
    renew: async (running) => {
      await reloadNats(running, port, await writeIdentity());
      return running;
    },
    start: async () => {
      await writeIdentity();
      ownedFile(`${directory}/nats.conf`, renderNatsConfig(port, directory), accounts.nats);
      return launch({
        command: 'nats-server',
        args: ['-c', `${directory}/nats.conf`],
        account: accounts.nats,
        logFile: `${layout.logs}/nats.log`,
      });
    },
  };
}

function router({ layout, accounts, certificates, listeners, onExit, log }: Parts): Component {
  const settings = routerSettingsOf(layout, maxConnections());
  const { front, client, instanceCa, platformCa } = settings.certificates;
  const logFile = `${layout.logs}/router.log`;
  const writeRoots = (): void => {
    ownedFile(instanceCa, certificates.roots('identity'), accounts.router);
    ownedFile(platformCa, certificates.roots('platform'), accounts.router);
  };
  const writePairs = async (): Promise<(readonly [string, string])[]> => {
    const shown = await certificates.front(layout.settings.domain);
    const own = await certificates.component('router');
    const pairs = [
      [front, `${shown.cert}${shown.key}`],
      [client, `${own.cert}${own.key}`],
    ] as const;
    for (const [path, pem] of pairs) ownedFile(path, pem, accounts.router);
    return [...pairs];
  };
  const start = async (more: readonly string[]) => {
    const base = folder(`${layout.run}/router`, null, 0o711);
    folder(settings.runDirectory, { ...accounts.router, uid: 0 }, 0o750);
    folder(`${base}/certificates`, accounts.router, 0o700);
    folder(`${base}/sockets`, { ...accounts.router, gid: accounts.control.gid }, 0o2710);
    writeRoots();
    await writePairs();
    const inherit = listeners.descriptors(routerListeners(settings));
    const { configFile, problem } = await prepareRouter(settings, numbersOf(inherit));
    if (problem) log.warn('the router starts without routes until control brings them', { problem });
    // Quiet: it names each of thousands of backends when it ends.
    const args = ['-q', '-db', '-f', configFile, ...more];
    return launch({ command: 'haproxy', args, account: accounts.router, inherit, logFile, onExit });
  };
  const takeOver = async (running: ProcessIdentity): Promise<ProcessIdentity> => {
    const next = await start(takeOverArguments(running));
    return untilTakenOver(next, settings.sockets.admin, logFile);
  };
  return {
    name: 'router',
    account: accounts.router,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(renderRouterConfig(settings))),
    start: () => start([]),
    after: Array.from({ length: layout.settings.cells }, (_, index) => `${cellName(index)}-proxy`),
    takeOver,
    renew: async (running) => {
      // HAProxy 2.6 dies of certificates that change after roots did (haproxy issue 3165): roots come with a new process.
      const roots = new Map([
        [instanceCa, certificates.roots('identity')],
        [platformCa, certificates.roots('platform')],
      ]);
      if (!holds(roots)) return restoring([...roots.keys()], () => takeOver(running));
      const socket = new HaproxySocket(settings.sockets.admin, 60_000);
      for (const [path, pem] of await writePairs()) await socket.replaceCertificate(path, pem);
      return running;
    },
  };
}

function cellProxy({ layout, accounts, certificates, listeners, onExit }: Parts, index: number): Component {
  const account = accounts.proxies[index]!;
  const name = `${cellName(index)}-proxy`;
  const settings = cellProxySettingsOf(layout, index, account, maxConnections());
  const logFile = `${layout.logs}/${name}.log`;
  const start = async (more: readonly string[]) => {
    const base = folder(`${layout.run}/${name}`, null, 0o711);
    folder(settings.runDirectory, { ...account, uid: 0 }, 0o750);
    folder(`${base}/socket`, account, 0o700);
    ownedFile(settings.routerCa, certificates.roots('platform'), account);
    const inherit = listeners.descriptors([cellProxyListener(settings)]);
    const { configFile } = await prepareCellProxy(settings, FIRST_INHERITED);
    const args = ['-q', '-db', '-f', configFile, ...more];
    return launch({ command: 'haproxy', args, account, inherit, logFile, onExit });
  };
  const takeOver = async (running: ProcessIdentity): Promise<ProcessIdentity> => {
    const next = await untilTakenOver(await start(takeOverArguments(running)), settings.socket, logFile);
    // What the cell registered between the files being read and the socket being ours is not lost, only late.
    await askAdmin(layout.adminSocketOf(cellName(index)), 'POST /reconcile-proxy', undefined, 10_000).catch(() => {});
    return next;
  };
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(renderCellProxyConfig(settings))),
    start: () => start([]),
    takeOver,
    renew: async (running) => {
      const roots = new Map([[settings.routerCa, certificates.roots('platform')]]);
      return holds(roots) ? running : restoring([settings.routerCa], () => takeOver(running));
    },
  };
}

function control({ layout, program, accounts, certificates, secrets, listeners }: Parts): Component {
  return {
    name: 'control',
    account: accounts.control,
    stopSignal: 'SIGTERM',
    fingerprint: once(() =>
      digestOf(program, JSON.stringify([layout.settings, systemBuildpacks(layout), readStagingEnvironment(layout)])),
    ),
    renew: async (running) => {
      const identity = await certificates.component('control');
      await askAdmin(layout.adminSocketOf('control'), 'POST /identity', identity, RENEW_LIMIT_MS);
      return running;
    },
    start: async () => {
      const state = `${layout.run}/control`;
      for (const name of ['blobs', 'router', 'tmp']) folder(`${state}/${name}`, accounts.control, 0o700);
      folder(dirname(layout.adminSocketOf('control')), accounts.control, 0o700);
      const { databaseKey, blobSigningKey, adminPassword, clientSecrets, sshHostKey } = secrets();
      const bootstrap: ControlBootstrap = {
        settings: layout.settings,
        identity: await certificates.component('control'),
        maxConnections: maxConnections(),
        accessLogDescriptor: FIRST_INHERITED,
        buildpacks: systemBuildpacks(layout),
        stagingEnvironment: readStagingEnvironment(layout),
        secrets: { databaseKey, blobSigningKey, adminPassword, clientSecrets, sshHostKey },
      };
      return launch({
        command: nodeOf(layout.program),
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

function cell({ layout, program, accounts, certificates, secrets }: Parts, index: number): Component {
  const name = cellName(index);
  const authority = (): CellBootstrap['instanceIdentity'] => ({
    intermediate: secrets().identityIntermediate,
    rootCertificate: certificates.roots('identity'),
  });
  return {
    name,
    account: null,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(program, JSON.stringify([layout.settings, systemBuildpacks(layout)]))),
    renew: async (running) => {
      const update: CellRenewal = {
        identity: await certificates.component('cell', [name, 'cell']),
        instanceIdentity: authority(),
        routerRoot: certificates.roots('router'),
      };
      await askAdmin(layout.adminSocketOf(name), 'POST /identity', update, RENEW_LIMIT_MS);
      return running;
    },
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
        routerRoot: certificates.roots('router'),
        instanceIdentity: authority(),
        buildpacks: systemBuildpacks(layout),
      };
      return launch({
        command: nodeOf(layout.program),
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

/** Whether files already say what they are to say. What runs was started with what they say. */
function holds(files: ReadonlyMap<string, string>): boolean {
  return [...files].every(([path, text]) => existsSync(path) && readFileSync(path, 'utf8') === text);
}

/** Puts the files back where `body` fails: they tell what the running process was started with. */
async function restoring<T>(files: readonly string[], body: () => Promise<T>): Promise<T> {
  const before = files.map((path) => [path, readFileSync(path)] as const);
  try {
    return await body();
  } catch (error) {
    for (const [path, content] of before) writeFileSync(path, content); // owner and mode stay
    throw error;
  }
}

/** Computed at the first call: a fingerprint is of the code and the configuration this supervisor came with. */
function once(compute: () => string): () => string {
  let value: string | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}

function digestOf(...texts: readonly string[]): string {
  return createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 16);
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
