import { createBlobstore } from '../../blobstore/blobstore.ts';
import { type CloudController, createCloudController, DEFAULT_STORAGE } from '../../cloud-controller/index.ts';
import { Bbs } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { UserDirectory } from '../../contracts/gen/uaa_pb.js';
import { userDirectory } from '../../contracts/user-directory.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import type { RateLimit } from '../../kit/rate.ts';
import { routerAddress, routerPorts } from '../addresses.ts';
import type { RoleBootstrap } from '../bootstrap.ts';
import { diskReserveOf } from '../disk-reserve.ts';
import { publicUrl, sshEndpoint, systemHosts } from '../public-names.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { linkedFileOf, removeLinkedFiles } from '../system-buildpacks.ts';
import { hostsOf } from './hosts.ts';
import type { Role, RoleParts } from './role.ts';

/** The v3 API, `api.<domain>`, and the blobs that cells come for. */
export async function createApiRole(parts: RoleParts, own: RoleBootstrap['api']): Promise<Role> {
  const { settings, contracts, log, state } = parts;
  makeDirectory(`${state}/blobs`, { mode: 0o700 });
  const whenMade = Promise.withResolvers<CloudController>();
  const blobstore = createBlobstore({
    directory: `${state}/blobs`,
    baseUrl: `https://127.0.0.1:${settings.ports.control}`,
    signingKey: Buffer.from(own.blobSigningKey, 'base64'),
    log: log.child('blobstore'),
    reserve: diskReserveOf(settings),
    takeUpload: async (...upload) => (await whenMade.promise).takeUpload(...upload),
  });
  await blobstore.start();
  const cloudController = await createCloudController({
    db: parts.database('cc'),
    sealer: parts.sealer(own.sealingKey),
    log: log.child('cloud-controller'),
    tokens: await parts.tokens(),
    users: userDirectory(contracts.client(UserDirectory)),
    bbs: contracts.client(Bbs),
    ingress: contracts.client(Ingress),
    blobs: blobstore.blobs,
    systemBuildpacks: own.buildpacks.map((one) => ({ ...one, linkedFile: linkedFileOf(state, one.sha256) })),
    settings: cloudControllerSettings(settings, own),
  });
  whenMade.resolve(cloudController);
  return {
    routes: cloudController.internal,
    hosts: new Map([
      ...hostsOf(settings, 'api', cloudController.handler),
      ['127.0.0.1', { peers: ['cell'], handler: blobstore.handler }],
    ]),
    start: async () => {
      await cloudController.start();
      removeLinkedFiles(state);
    },
    close: async () => {
      await cloudController.close();
      await blobstore.close();
    },
  };
}

function cloudControllerSettings(settings: PlatformSettings, own: RoleBootstrap['api']) {
  const url = (name: string): string => publicUrl(settings, name);
  // What the operator set, of what has defaults.
  const { perCaller, perAddress } = settings.requests ?? {};
  return {
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
    sshHostKeyFingerprint: own.sshHostKeyFingerprint,
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
    staging: { memoryMb: 1024, diskMb: 6144, timeoutSeconds: 900, environment: own.stagingEnvironment, egress: [] },
  };
}

function aMinute(limit: number): RateLimit {
  return { limit, intervalMs: 60_000 };
}

function bytesOf(megabytes: number | undefined): number | undefined {
  return megabytes === undefined ? undefined : megabytes * 1024 ** 2;
}
