import { createBlobstore } from '../../blobstore/blobstore.ts';
import { type CloudController, createCloudController, DEFAULT_STORAGE } from '../../cloud-controller/index.ts';
import { AccessTokenVerifier } from '../../contracts/access-token.ts';
import { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { Bbs, type CellPresence, Rep } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { CellSsh } from '../../contracts/gen/ssh_pb.js';
import { TokenRevocations } from '../../contracts/gen/token-revocations_pb.js';
import { RevocationList } from '../../contracts/revocation-list.ts';
import { createDiego } from '../../diego/index.ts';
import type { BbsSchema } from '../../diego/schema.ts';
import { connectBus, SUBJECTS } from '../../kit/bus.ts';
import { deriveKey, Sealer } from '../../kit/crypto.ts';
import { openDatabase } from '../../kit/database.ts';
import { type Faults, handleFaults } from '../../kit/faults.ts';
import { type RequestHandler, type ServedHost, serveHosts } from '../../kit/http.ts';
import { Logger } from '../../kit/log.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import type { RateLimit } from '../../kit/rate.ts';
import {
  client,
  inMemoryTransport,
  lastingTransport,
  lateTransport,
  type Routes,
  remoteTransport,
  serveRpc,
} from '../../kit/rpc.ts';
import { LiveIdentity } from '../../kit/tls.ts';
import { createLoggregator } from '../../loggregator/index.ts';
import { createRouter } from '../../router/index.ts';
import { createSshProxy, fingerprintOf } from '../../ssh-proxy/ssh-proxy.ts';
import type { UaaSchema } from '../../uaa/schema.ts';
import { adminClient, cloudControllerClient, createUaa, sshProxyClient } from '../../uaa/uaa.ts';
import { routerAddress, routerPorts } from '../addresses.ts';
import { Identity } from '../admin-messages.ts';
import { adminOperation, NoBody, serveAdmin } from '../admin-socket.ts';
import { ControlBootstrap, onTermination, readBootstrap } from '../bootstrap.ts';
import { routerSettingsOf } from '../cell-settings.ts';
import { diskReserveOf } from '../disk-reserve.ts';
import { POSTGRESQL_PORT } from '../engines/postgresql.ts';
import { layoutOf } from '../layout.ts';
import { publicUrl, sshEndpoint, systemHosts } from '../public-names.ts';
import { linkedFileOf, removeLinkedFiles } from '../system-buildpacks.ts';

/** Who may call what on control's internal listener (mutual TLS, by common name). */
const PEERS = {
  'cupola.diego.v1.Bbs': ['supervisor'],
  'cupola.diego.v1.CellOperations': ['supervisor'],
  'cupola.diego.v1.CellRegistry': ['cell'],
  'cupola.loggregator.v1.Ingress': ['cell'],
  'cupola.uaa.v1.TokenRevocations': ['control'],
};

/** The control process: every public API, Diego's brain, the log cache and the router's driver, as an unprivileged account. */
async function main(faults: Readonly<Faults>): Promise<void> {
  const bootstrap = await readBootstrap(ControlBootstrap);
  const { settings, secrets, maxConnections, accessLogDescriptor, sshDescriptor, buildpacks, stagingEnvironment } =
    bootstrap;
  // What the operator set, of what has defaults.
  const { perCaller, perAddress } = settings.requests ?? {};
  // The supervisor replaces it while we run: whatever takes it must be of kit/, which follows.
  const identity = new LiveIdentity(bootstrap.identity);
  const log = new Logger('control');
  const layout = layoutOf(settings);
  const state = `${layout.run}/control`;
  for (const name of ['blobs', 'router', 'tmp']) makeDirectory(`${state}/${name}`, { mode: 0o700 });
  const master = Buffer.from(secrets.databaseKey, 'base64');
  const sealerFor = (room: string): Sealer => new Sealer([{ label: 'database-1', key: deriveKey(master, room) }]);
  const database = <Schema>(room: string) =>
    openDatabase<Schema>(
      {
        socketDirectory: `${layout.run}/postgresql/socket`,
        port: POSTGRESQL_PORT,
        database: 'cupola',
        role: room,
        schema: room,
      },
      log.child('database'),
    );
  const url = (name: string): string => publicUrl(settings, name);
  const bus = await connectBus(`tls://127.0.0.1:${settings.ports.nats}`, identity, log.child('bus'));

  const uaa = createUaa({
    db: database<UaaSchema>('uaa'),
    sealer: sealerFor('uaa'),
    log: log.child('uaa'),
    urls: { uaa: url('uaa'), login: url('login') },
    revoked: () => bus.publish(SUBJECTS.revocations),
    bootstrap: {
      adminUser: { userName: settings.adminUser, password: secrets.adminPassword },
      clients: [
        adminClient({ secret: secrets.clientSecrets.admin }),
        cloudControllerClient({ secret: secrets.clientSecrets.cloudController }),
        sshProxyClient({ secret: secrets.clientSecrets.sshProxy, redirectUri: `${url('uaa')}/login` }),
      ],
    },
  });
  const whenMade = Promise.withResolvers<CloudController>();
  const blobstore = createBlobstore({
    directory: `${state}/blobs`,
    baseUrl: `https://127.0.0.1:${settings.ports.control}`,
    signingKey: Buffer.from(secrets.blobSigningKey, 'base64'),
    log: log.child('blobstore'),
    reserve: diskReserveOf(settings),
    takeUpload: async (...upload) => (await whenMade.promise).takeUpload(...upload),
  });

  // Rooms call each other over typed contracts; who serves them stands later than who calls.
  const routes: { internal?: Routes; diego?: Routes; loggregator?: Routes; uaa?: Routes } = { uaa: uaa.routes };
  const late = (name: keyof typeof routes) =>
    lateTransport(() => inMemoryTransport((router) => routes[name]?.(router)));
  const bbs = client(Bbs, late('diego'));
  const ingress = client(Ingress, late('loggregator'));
  const internal = client(CloudControllerInternal, late('internal'));

  const revocations = new RevocationList({
    uaa: client(TokenRevocations, late('uaa')),
    log: log.child('token-revocations'),
  });
  bus.subscribe(SUBJECTS.revocations, () => revocations.wake());
  const tokens = new AccessTokenVerifier({
    issuer: `${url('uaa')}/oauth/token`,
    audience: 'cloud_controller',
    keys: () => uaa.tokenKeys(),
    revocations,
  });
  const loggregator = createLoggregator({
    log: log.child('loggregator'),
    access: async (accessToken, sourceIds) =>
      (await internal.logAccess({ accessToken, sourceIds: [...sourceIds] })).allowed,
    tokens,
  });
  const diego = createDiego({
    db: database<BbsSchema>('bbs'),
    sealer: sealerFor('bbs'),
    bus,
    log: log.child('diego'),
    rep: (presence: CellPresence) => client(Rep, remoteTransport(presence.repUrl, identity, presence.cellId)),
    cloudController: internal,
  });
  routes.loggregator = loggregator.routes;
  routes.diego = diego.routes;
  await Promise.all([uaa.start(), blobstore.start()]);
  revocations.start();
  const cloudController = await createCloudController({
    db: database('cc'),
    sealer: sealerFor('cc'),
    log: log.child('cloud-controller'),
    tokens,
    users: uaa.directory,
    bbs,
    ingress,
    blobs: blobstore.blobs,
    systemBuildpacks: buildpacks.map((one) => ({ ...one, linkedFile: linkedFileOf(state, one.sha256) })),
    settings: {
      urls: {
        api: url('api'),
        uaa: url('uaa'),
        login: url('login'),
        logCache: url('log-cache'),
        ssh: sshEndpoint(settings) ?? '',
      },
      domain: settings.domain,
      systemHosts: systemHosts(settings.domain),
      publicRoutes: { address: routerAddress(settings), ports: routerPorts(settings).join(',') },
      http2Apps: settings.http2Apps === true,
      sshHostKeyFingerprint: settings.sshPort === null ? null : fingerprintOf(secrets.sshHostKey),
      build: 'cupola-0.1.0',
      defaults: { memoryMb: 1024, diskMb: 1024, healthCheckTimeoutSeconds: 60 },
      maximumAppDiskMb: settings.storage?.maximumAppDisk ?? 2048,
      storage: {
        ...DEFAULT_STORAGE,
        perOrganizationBytes: bytesOf(settings.storage?.perOrganization) ?? DEFAULT_STORAGE.perOrganizationBytes,
      },
      requestLimits: {
        ...(perCaller && { caller: aMinute(perCaller) }),
        ...(perAddress && { anonymous: aMinute(perAddress) }),
      },
      staging: { memoryMb: 1024, diskMb: 6144, timeoutSeconds: 900, environment: stagingEnvironment, egress: [] },
    },
  });
  routes.internal = cloudController.internal;
  whenMade.resolve(cloudController);
  await diego.start();
  const rpc = await serveRpc({
    host: '127.0.0.1',
    port: settings.ports.rpc,
    identity,
    peers: PEERS,
    routes: (router) => {
      diego.routes(router);
      loggregator.routes(router);
      uaa.routes(router);
    },
    log: log.child('rpc'),
  });
  const sshProxy = createSshProxy({
    hostKey: secrets.sshHostKey,
    public:
      settings.sshPort === settings.httpsPort ? null : { host: settings.bindAddress, port: settings.sshPort ?? 0 },
    behindRouter: sshDescriptor === null ? null : { descriptor: sshDescriptor },
    exchangeCode: (code, address) =>
      uaa.redeemCode({ id: 'ssh-proxy', secret: secrets.clientSecrets.sshProxy }, code, address),
    cloudController: internal,
    bbs,
    cell: ({ repUrl, cellId }) => {
      const { transport, close } = lastingTransport(repUrl, identity, cellId);
      return { ssh: client(CellSsh, transport), close };
    },
    ingress,
    log: log.child('ssh-proxy'),
  });
  // Before the API answers: whoever waits for the platform waits for that.
  if (settings.sshPort !== null) await sshProxy.start();
  const toRouter = (handler: RequestHandler): ServedHost => ({ peers: ['router'], handler });
  const hosts = new Map<string, ServedHost>([
    [`api.${settings.domain}`, toRouter(cloudController.handler)],
    [`uaa.${settings.domain}`, toRouter(uaa.handler)],
    [`login.${settings.domain}`, toRouter(uaa.handler)],
    [`log-cache.${settings.domain}`, toRouter(loggregator.handler)],
    ['127.0.0.1', { peers: ['cell'], handler: blobstore.handler }],
  ]);
  const server = await serveHosts({
    host: '127.0.0.1',
    port: settings.ports.control,
    identity,
    hosts,
    log: log.child('http'),
  });
  const router = createRouter({
    settings: routerSettingsOf(layout, maxConnections),
    bbs,
    ingress,
    bus,
    accessLogDescriptor,
    log: log.child('router'),
  });
  await router.start();
  const admin = await serveAdmin(layout.adminSocketOf('control'), {
    'POST /identity': adminOperation(Identity, (next) => identity.replace(next)),
    'GET /faults': adminOperation(NoBody, () => faults),
    'GET /router': adminOperation(NoBody, () => {
      const { refused, servedAsHttp1 } = router.status();
      return { refused, servedAsHttp1 };
    }),
    'POST /rotate-signing-key': adminOperation(NoBody, async () => ({ kid: await uaa.rotateSigningKey() })),
  });
  await cloudController.start();
  removeLinkedFiles(state);
  log.info('control is ready');
  onTermination(async () => {
    admin.close();
    await server.close();
    await sshProxy.close();
    await router.close();
    await cloudController.close();
    await diego.close();
    await revocations.stop();
    await Promise.all([rpc.close(), loggregator.close(), uaa.close(), blobstore.close()]);
    await bus.close();
  });
}

function aMinute(limit: number): RateLimit {
  return { limit, intervalMs: 60_000 };
}

function bytesOf(megabytes: number | undefined): number | undefined {
  return megabytes === undefined ? undefined : megabytes * 1024 ** 2;
}

await main(handleFaults(new Logger('control')));
