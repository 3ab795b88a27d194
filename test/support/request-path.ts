import { closeSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { createCellProxy } from '../../src/cell/proxy/index.ts';
import { prepareCellProxy } from '../../src/cell/proxy/proxy.ts';
import type { CellProxySettings } from '../../src/cell/proxy/settings.ts';
import {
  Bbs,
  OwnerSchema,
  RouteEndpointSchema,
  type RouteEntry,
  RouteEntrySchema,
  RouteSchema,
  RoutingTableResponseSchema,
} from '../../src/contracts/gen/diego_pb.js';
import { type Envelope, Ingress } from '../../src/contracts/gen/loggregator_pb.js';
import { LocalBus, SUBJECTS } from '../../src/kit/bus.ts';
import type { IdleTimes } from '../../src/kit/haproxy.ts';
import { type RequestHandler, serveHosts } from '../../src/kit/http.ts';
import { Logger } from '../../src/kit/log.ts';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { listenTcp } from '../../src/kit/sockets.ts';
import { FIRST_INHERITED } from '../../src/platform/listeners.ts';
import {
  createRouter,
  prepareRouter,
  type Router,
  type RouterSettings,
  routerListeners,
} from '../../src/router/index.ts';
import { envelopesOf } from './envelopes.ts';
import {
  createTestPki,
  haproxyAccount,
  makeDirectory,
  startHaproxy,
  type TestHaproxy,
  temporaryDirectory,
  writePem,
} from './haproxy.ts';
import { routingFingerprintsOf, routingTableOf } from './routing-table.ts';

export interface AppEntry {
  host: string;
  path?: string;
  app?: string;
  protocol?: string;
  /** Instance GUID → index; where it is reached is the cell proxy unless `port` says otherwise. */
  instances: { guid: string; index: number; port?: number }[];
}

export function routeEntry({ host, path = '', app = 'app', protocol = 'http1', instances }: AppEntry, port: number) {
  return create(RouteEntrySchema, {
    route: create(RouteSchema, { guid: `route-${host}${path}`, host, path, port: 8080, protocol }),
    owner: create(OwnerSchema, {
      appGuid: `${app}-guid`,
      appName: app,
      spaceGuid: 'space-guid',
      spaceName: 'space',
      organizationGuid: 'org-guid',
      organizationName: 'org',
      processGuid: `${app}-process`,
      processType: 'web',
    }),
    endpoints: instances.map(({ guid, index, port: own }) =>
      create(RouteEndpointSchema, { instanceGuid: guid, index, address: '127.0.0.1', port: own ?? port }),
    ),
    processGuid: `${app}-lrp`,
  });
}

export interface RequestPathOptions {
  /** The first of four ports. */
  firstPort: number;
  prefix: string;
  changeSettings?: (settings: RouterSettings) => RouterSettings;
  /** Of router and cell proxy. */
  idle?: IdleTimes;
  /** How often the router looks without an event. */
  intervalMs?: number;
  /** The BBS knows of names, and neither of pages nor of fingerprints. */
  olderDiego?: boolean;
  /** How long the router may take to follow a table; 8 s unless told. */
  patienceMs?: number;
}

/** Where the router's account alone may connect. */
export function sshSocketBeside({ sockets }: RouterSettings): string {
  return join(dirname(dirname(sockets.driver)), 'ssh/ssh.sock');
}

export type RequestPath = Awaited<ReturnType<typeof startRequestPath>>;

/** Router, cell proxy and everything between, real but for the BBS and loggregator, which are tables in memory. */
export async function startRequestPath(options: RequestPathOptions) {
  const { firstPort, prefix, changeSettings, intervalMs, olderDiego = false, patienceMs = 8_000 } = options;
  const domain = 'cupola.test';
  const directory = temporaryDirectory(prefix);
  const account = (await haproxyAccount()) ?? { uid: process.getuid!(), gid: process.getgid!() };
  const pki = await createTestPki(domain);
  const at = (name: string) => join(directory.path, name);
  const me = process.getuid!();
  const [httpsPort, httpPort, controlPort, cellPort] = [firstPort, firstPort + 1, firstPort + 2, firstPort + 3];
  await makeDirectory(directory.path, me, account.gid, 0o710);
  await makeDirectory(at('router'), me, account.gid, 0o750);
  await makeDirectory(at('state'), me, process.getgid!(), 0o700);
  await makeDirectory(at('sockets'), account.uid, process.getgid!(), 0o2710);
  await makeDirectory(at('ssh'), me, account.gid, 0o2710);
  await makeDirectory(at('pki'), me, account.gid, 0o750);
  await makeDirectory(at('cell'), me, account.gid, 0o750);
  const pem = (name: string, value: Parameters<typeof writePem>[2]) => writePem(at('pki'), name, value, account.uid);

  const standard: RouterSettings = {
    runDirectory: at('router'),
    stateDirectory: at('state'),
    bindAddresses: ['127.0.0.1'],
    httpsPort,
    httpPort,
    certificates: {
      front: await pem('front.pem', pki.front),
      client: await pem('router.pem', pki.router),
      instanceCa: await pem('instance-ca.crt', pki.instanceRoot.cert),
      platformCa: await pem('platform-ca.crt', pki.platformRoot.cert),
    },
    control: { address: '127.0.0.1', port: controlPort },
    systemHosts: [`api.${domain}`, `uaa.${domain}`],
    poolSize: 50,
    http2Apps: false,
    threads: 1,
    maxConnections: 1000,
    sockets: { admin: at('sockets/admin.sock'), driver: at('sockets/driver.sock') },
  };
  const idle = options.idle === undefined ? {} : { idle: options.idle };
  const settings = { ...(changeSettings?.(standard) ?? standard), ...idle };
  const cellSettings: CellProxySettings = {
    runDirectory: at('cell'),
    bindAddress: '127.0.0.1',
    port: cellPort,
    routerCa: settings.certificates.platformCa,
    threads: 1,
    maxConnections: settings.maxConnections,
    socket: at('sockets/cell.sock'),
    account,
    ...idle,
  };

  const lines: string[] = [];
  const log = new Logger('test', {}, (line) => lines.push(line));
  const envelopes: Envelope[] = [];
  const state = { entries: [] as RouteEntry[], bbsAnswers: true, ingressAnswers: true };
  let router!: Router;
  /**
   * How often the router asked for the table or its fingerprints, the end of the round before the last time, and the LRPs it asked for
   * the last time.
   */
  const asked = { times: 0, after: null as Date | null, for: [] as string[] };
  const note = () => {
    asked.times += 1;
    asked.after = router.status().convergedAt;
    if (!state.bbsAnswers) throw new Error('the BBS is away');
  };
  const transport = inMemoryTransport((routes) => {
    routes.service(Bbs, {
      routingTable: (request) => {
        note();
        asked.for = request.processGuids;
        if (!olderDiego) return routingTableOf(state.entries, request);
        const isAsked = ({ processGuid }: RouteEntry) =>
          request.processGuids.length === 0 || request.processGuids.includes(processGuid);
        return create(RoutingTableResponseSchema, { entries: state.entries.filter(isAsked) });
      },
      ...(!olderDiego && {
        routingFingerprints: (request) => {
          note();
          return routingFingerprintsOf(state.entries, request);
        },
      }),
    });
    routes.service(Ingress, {
      send: ({ batch }) => {
        if (!state.ingressAnswers) throw new Error('loggregator is away');
        envelopes.push(...envelopesOf(batch));
        return {};
      },
    });
  });
  const bus = new LocalBus();
  const everyLrp = new Set<string>();
  const servers: Server[] = [];

  // As the supervisor does: the listening sockets outlive the engines.
  const routerSockets = routerListeners(settings).map(listenTcp);
  const cellSocket = listenTcp({ address: cellSettings.bindAddress, port: cellSettings.port });
  const numbers = routerSockets.map((_, index) => FIRST_INHERITED + index);
  const startRouterProxy = async (more: readonly string[] = []) => {
    const { configFile } = await prepareRouter(settings, numbers);
    return startHaproxy(configFile, settings.sockets.driver, { more, inherit: routerSockets });
  };
  const startCellProxyEngine = async () => {
    const { configFile } = await prepareCellProxy(cellSettings, FIRST_INHERITED);
    return startHaproxy(configFile, cellSettings.socket, { inherit: [cellSocket] });
  };
  const engines: { router: TestHaproxy; cell: TestHaproxy } = {
    router: await startRouterProxy(),
    cell: await startCellProxyEngine(),
  };
  const replaced: TestHaproxy[] = [];
  const startDriver = async () => {
    router = createRouter({
      settings,
      bbs: client(Bbs, transport),
      ingress: client(Ingress, transport),
      bus,
      log,
      drainTimeoutMs: 2_000,
      ...(intervalMs === undefined ? {} : { intervalMs }),
    });
    await router.start();
  };
  await startDriver();
  let cell = await createCellProxy({ settings: cellSettings, log });
  cell.start();

  const until = async (what: string, condition: () => boolean | Promise<boolean>, ms = patienceMs) => {
    const deadline = Date.now() + ms;
    while (!(await condition())) {
      if (Date.now() > deadline) {
        throw new Error(`${what} did not come: ${JSON.stringify(router.status())} ${lines.slice(-5).join('')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  return {
    domain,
    pki,
    settings,
    cellSettings,
    engines,
    envelopes,
    lines,
    state,
    asked,
    log,
    until,
    httpsPort,
    httpPort,
    controlPort,
    cellPort,
    pem,
    get router() {
      return router;
    },
    get cell() {
      return cell;
    },
    /** A plain HTTP app, as a container would be: says who it is. */
    async startBackend(handler?: Parameters<typeof createServer>[1]) {
      const server = createServer(handler ?? ((_, response) => response.end('ok')));
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return { server, port: (server.address() as AddressInfo).port };
    },
    async registerInstance(guid: string, port: number) {
      const { cert, key } = await pki.instance(guid);
      await cell.register({ instanceGuid: guid, certificate: cert, key, address: '127.0.0.1', port });
    },
    /** From here on no event comes, whoever publishes. */
    loseBus: () => bus.close(),
    /** Publishes the table and waits until the router has it. */
    async setRoutes(...entries: AppEntry[]) {
      state.entries = entries.map((entry) => routeEntry(entry, cellPort));
      await this.converged();
    },
    publish: (event: { processGuids?: string[] }) => bus.publish(SUBJECTS.diego, event),
    /** Changes the entries of these apps alone, names them as Diego does, and waits until the router has them. Gives what it asked for. */
    async changeApps(apps: readonly string[], ...entries: AppEntry[]) {
      const processGuids = apps.map((app) => `${app}-lrp`);
      state.entries = [
        ...state.entries.filter(({ processGuid }) => !processGuids.includes(processGuid)),
        ...entries.map((entry) => routeEntry(entry, cellPort)),
      ];
      await this.converged({ processGuids });
      return asked.for;
    },
    /**
     * A round that asked for these LRPs from now on has ended, for all that there ever were unless told; one under way may have asked
     * before.
     */
    async converged(event?: { processGuids: string[] }) {
      const { times } = asked;
      for (const { processGuid } of state.entries) everyLrp.add(processGuid);
      bus.publish(SUBJECTS.diego, event ?? (everyLrp.size > 0 ? { processGuids: [...everyLrp] } : {}));
      await until('the router', () => {
        const { convergedAt, problem } = router.status();
        return problem === null && asked.times > times && convergedAt !== asked.after;
      });
    },
    async startControl(handlers: ReadonlyMap<string, RequestHandler>) {
      const { server } = await serveHosts({
        host: '127.0.0.1',
        port: controlPort,
        identity: { ...pki.control, ca: pki.platformRoot.cert },
        hosts: new Map([...handlers].map(([host, handler]) => [host, { peers: ['router'], handler }])),
        log,
      });
      servers.push(server);
      return server;
    },
    async restartRouterProxy() {
      engines.router = await startRouterProxy();
    },
    /** A new process has the same listeners; the old one ends when its connections have. */
    async replaceRouterProxy() {
      const old = engines.router;
      engines.router = await startRouterProxy(['-sf', String(old.pid)]);
      replaced.push(old);
    },
    async restartCellProxyEngine() {
      engines.cell = await startCellProxyEngine();
    },
    async stopDriver() {
      await router.close();
    },
    startDriver,
    async restartCell() {
      await cell.close();
      cell = await createCellProxy({ settings: cellSettings, log });
      cell.start();
    },
    async close() {
      await router.close();
      await cell.close();
      await bus.close();
      for (const old of replaced) await old.kill('SIGKILL');
      await engines.router.kill('SIGKILL');
      await engines.cell.kill('SIGKILL');
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
      for (const descriptor of [...routerSockets, cellSocket]) closeSync(descriptor);
      directory.remove();
    },
  };
}
