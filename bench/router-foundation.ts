// What benchmarks of the router share: a BBS with many LRPs on a real PostgreSQL, and a real HAProxy.
import { hash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { CloudControllerInternal } from '../src/contracts/gen/cloud-controller_pb.js';
import { Bbs, CellRegistry, Rep } from '../src/contracts/gen/diego_pb.js';
import { Ingress } from '../src/contracts/gen/loggregator_pb.js';
import { createDiego } from '../src/diego/index.ts';
import type { BbsDatabase } from '../src/diego/schema.ts';
import { LocalBus } from '../src/kit/bus.ts';
import { Sealer } from '../src/kit/crypto.ts';
import { client, inMemoryTransport } from '../src/kit/rpc.ts';
import { createRouter, prepareRouter, type RouterSettings } from '../src/router/index.ts';
import {
  createTestPki,
  haproxyAccount,
  makeDirectory,
  startHaproxy,
  temporaryDirectory,
  writePem,
} from '../test/support/haproxy.ts';
import { silentLog } from '../test/support/postgresql.ts';

const POOL = 2_000;
const READY = 1_900;
const AN_HOUR = 3_600_000;

/** The guid of the nth LRP. */
export const lrpOf = (n: number) => hash('md5', `lrp-${n}`);

/** So many LRPs, each with a route and an instance; 1,900 at most are ready. */
async function seed(db: BbsDatabase, count: number): Promise<void> {
  await sql`TRUNCATE desired_lrps, actual_lrps, evacuating_lrps, notices`.execute(db);
  await sql`
    INSERT INTO desired_lrps (process_guid, instances, annotation, stack, placement_tags, memory_mb, disk_mb, routes, egress_rules,
                              owner, definition, key_label)
    SELECT md5('lrp-' || n), 1, '', 'debian12', '{}', 64, 64, jsonb_build_array(jsonb_build_object(
        'guid', 'route-' || n, 'host', 'app-' || n || '.bench.test', 'port', 8080, 'protocol', 'http1')), '[]',
      jsonb_build_object('appGuid', 'app-' || n, 'appName', 'app ' || n, 'spaceGuid', 'space', 'organizationGuid', 'org-' || n % 40,
        'processGuid', 'app-' || n, 'processType', 'web'), '\\x00', 'bench'
    FROM generate_series(0, ${count - 1}::integer) AS n`.execute(db);
  await sql`
    INSERT INTO actual_lrps (process_guid, index, state, instance_guid, cell_id, since_ms, host_address, routable, ports)
    SELECT md5('lrp-' || n), 0, 'RUNNING', 'instance-' || n || '-0', 'cell-1', ${Date.now() - AN_HOUR}::bigint, '127.0.0.1', n < ${READY},
      '[{"containerPort": 8080, "hostTlsProxyPort": 61001}]'
    FROM generate_series(0, ${count - 1}::integer) AS n`.execute(db);
  await sql`ANALYZE`.execute(db);
}

export async function startHaproxyAndItsDirectories() {
  const directory = temporaryDirectory('change-cost');
  const account = (await haproxyAccount())!;
  const pki = await createTestPki('bench.test');
  const at = (name: string) => join(directory.path, name);
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  await makeDirectory(directory.path, uid, account.gid, 0o710);
  for (const name of ['router', 'pki']) await makeDirectory(at(name), uid, account.gid, 0o750);
  await makeDirectory(at('state'), uid, gid, 0o700);
  await makeDirectory(at('sockets'), account.uid, gid, 0o2710);
  const pem = (name: string, value: Parameters<typeof writePem>[2]) => writePem(at('pki'), name, value, account.uid);
  const settings: RouterSettings = {
    runDirectory: at('router'),
    stateDirectory: at('state'),
    bindAddresses: ['127.0.0.1'],
    httpsPort: 21_790,
    certificates: {
      front: await pem('front.pem', pki.front),
      client: await pem('router.pem', pki.router),
      instanceCa: await pem('instance-ca.crt', pki.instanceRoot.cert),
      platformCa: await pem('platform-ca.crt', pki.platformRoot.cert),
    },
    control: { address: '127.0.0.1', port: 21_791 },
    systemHosts: ['api.bench.test'],
    poolSize: POOL,
    http2Apps: false,
    threads: 1,
    maxConnections: 1_000,
    sockets: { admin: at('sockets/admin.sock'), driver: at('sockets/driver.sock') },
  };
  const { configFile } = await prepareRouter(settings);
  return { directory, settings, engine: await startHaproxy(configFile, settings.sockets.driver) };
}

/** Diego with so many LRPs, and a router that is not started, whose timer does nothing. */
export async function startRouterFoundation(db: BbsDatabase, count: number) {
  const bus = new LocalBus();
  const diego = createDiego({
    db,
    sealer: new Sealer([{ label: 'bench', key: randomBytes(32) }]),
    bus,
    log: silentLog,
    rep: () =>
      client(
        Rep,
        inMemoryTransport(() => {}),
      ),
    cloudController: client(
      CloudControllerInternal,
      inMemoryTransport((routes) => routes.service(CloudControllerInternal, { lrpCrashed: () => ({}) })),
    ),
    settings: { auctionIntervalMs: AN_HOUR, sweepIntervalMs: AN_HOUR, convergeIntervalMs: AN_HOUR },
  });
  await diego.start();
  await sleep(500);
  await seed(db, count);
  const bbs = client(Bbs, inMemoryTransport(diego.routes));
  const cell = client(CellRegistry, inMemoryTransport(diego.routes));
  const { directory, settings, engine } = await startHaproxyAndItsDirectories();
  const ingress = client(
    Ingress,
    inMemoryTransport((routes) => routes.service(Ingress, { send: () => ({}) })),
  );
  const router = createRouter({ settings, bbs, ingress, bus, log: silentLog, intervalMs: AN_HOUR });
  const close = async () => {
    await router.close();
    await diego.close();
    await bus.close();
    await engine.kill('SIGKILL');
    directory.remove();
  };
  return { bus, bbs, cell, settings, engine, router, close };
}
