// What a change costs on its way from the API to the BBS, and a comparison of everything, with 100, 10,000, 100,000 and 250,000 started
// apps, a route each, in organizations of 100 (a quota is summed up over its organization): the real Cloud Controller and Diego in this process, on a real PostgreSQL each.
//
//   node bench/desired-lrps.ts [apps …]        rounds: ROUNDS, default 7, and one to warm up; medians are printed
//
// Needs root, as the tests do. From the BBS to HAProxy: change-cost.ts.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@connectrpc/connect';
import { type Kysely, sql } from 'kysely';
import { annotationOf } from '../src/cloud-controller/diego/annotation.ts';
import { startedProcesses } from '../src/cloud-controller/diego/desired.ts';
import { differingGroups } from '../src/cloud-controller/diego/differing.ts';
import { renewalOf } from '../src/cloud-controller/diego/wanted.ts';
import type { Bbs } from '../src/contracts/gen/diego_pb.js';
import { ALL_GUIDS } from '../src/contracts/lrp-fingerprint.ts';
import type { BbsSchema } from '../src/diego/schema.ts';
import { startTestCloudController, type TestCloudController } from '../test/support/cloud-controller.ts';
import { TestFoundation } from '../test/support/diego.ts';
import { startTestPostgresql } from '../test/support/postgresql.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const APPS_OF_ONE = 100;
const clock = () => new Date();

/** Apps with a droplet, a web process that is started, and a route. */
async function seed(cc: TestCloudController, count: number): Promise<void> {
  const { db } = cc;
  const organizations = Math.ceil(count / APPS_OF_ONE);
  const run = (text: string) => sql.raw(text).execute(db);
  await run('UPDATE organization_quotas SET total_memory_mb = NULL, total_routes = NULL');
  await run(`INSERT INTO organizations (guid, name, quota_guid)
    SELECT gen_random_uuid(), 'org-' || n, '00000000-0000-4000-8000-000000000001' FROM generate_series(1, ${organizations}) AS n`);
  await run(
    `INSERT INTO spaces (guid, name, organization_guid) SELECT gen_random_uuid(), 'space', guid FROM organizations`,
  );
  await run(`INSERT INTO apps (guid, name, space_guid, state, lifecycle, stack, buildpacks, droplet_guid)
    SELECT gen_random_uuid(), 'app-' || n, spaces.guid, 'STARTED', 'buildpack', 'debian12', '{}', gen_random_uuid()
    FROM generate_series(1, ${count}) AS n JOIN spaces ON spaces.id = 1 + n % ${organizations}`);
  await run(
    `INSERT INTO droplets (guid, app_guid, state, sha256, stack, process_types, buildpacks)
    SELECT droplet_guid, guid, 'STAGED', 'x', 'debian12', '{}', '[]' FROM apps`,
  );
  await run(`INSERT INTO processes (guid, app_guid, type, state, instances, memory_mb, disk_mb, version, log_rate_limit,
      health_check_type) SELECT guid, guid, 'web', 'STARTED', 1, 64, 64, gen_random_uuid(), -1, 'port' FROM apps`);
  await run(`INSERT INTO routes (guid, space_guid, domain_guid, host, path)
    SELECT apps.guid, space_guid, (SELECT guid FROM domains WHERE NOT internal LIMIT 1), name, '' FROM apps`);
  await run(`INSERT INTO route_destinations (guid, route_guid, app_guid, process_type, port, protocol)
    SELECT guid, guid, guid, 'web', 8080, 'http1' FROM apps`);
  await run('ANALYZE');
}

/** The BBS desires them. */
async function desireAll(cc: TestCloudController, bbs: Kysely<BbsSchema>): Promise<void> {
  const renewal = renewalOf(clock);
  for (const range of ALL_GUIDS) {
    const rows = await startedProcesses(cc.db, { within: range, docker: false })
      .select(['processes.guid', 'processes.version', 'processes.app_guid'])
      .execute();
    const lrps = rows.map((row) => ({
      guid: `${row.guid}-${row.version}`,
      annotation: annotationOf(row.network, renewal),
      owner: {
        appGuid: row.app_guid,
        appName: row.app_name,
        spaceName: row.space_name,
        organizationName: row.organization_name,
        processGuid: row.guid,
        processType: 'web',
      },
    }));
    await sql`
      INSERT INTO desired_lrps (process_guid, instances, annotation, stack, placement_tags, memory_mb, disk_mb, routes, egress_rules,
                                owner, definition, key_label)
      SELECT lrp->>'guid', 1, lrp->>'annotation', 'debian12', '{}', 64, 64, '[]', '[]', lrp->'owner', '\\x00', 'bench'
      FROM jsonb_array_elements(${JSON.stringify(lrps)}::jsonb) AS lrp`.execute(bbs);
  }
  await sql`ANALYZE desired_lrps`.execute(bbs);
}

interface Cost {
  milliseconds: number;
  processor: number;
}

async function costOf(change: () => Promise<unknown>): Promise<Cost> {
  const [processor, startedAt] = [process.cpuUsage(), performance.now()];
  await change();
  const milliseconds = performance.now() - startedAt;
  await sleep(300);
  const { user, system } = process.cpuUsage(processor);
  return { milliseconds, processor: (user + system) / 1_000 };
}

function medianOf(costs: readonly Cost[]): Cost {
  const of = (name: keyof Cost) =>
    costs.map((cost) => cost[name]).toSorted((a, b) => a - b)[Math.floor(costs.length / 2)]!;
  return { milliseconds: of('milliseconds'), processor: of('processor') };
}

async function measure(count: number): Promise<void> {
  const postgresql = await startTestPostgresql(['bbs']);
  const diego = new TestFoundation(postgresql);
  await diego.addDiego({ auctionIntervalMs: 3_600_000, sweepIntervalMs: 3_600_000, convergeIntervalMs: 3_600_000 });
  const { bbs } = diego;
  let told: () => void = () => {};
  const seeded = Promise.withResolvers<void>();
  const watched: Client<typeof Bbs> = {
    ...bbs,
    // The Cloud Controller compares nothing before all is there.
    desiredLrpFingerprints: async (range) => {
      await seeded.promise;
      return bbs.desiredLrpFingerprints(range);
    },
    updateDesiredLrp: async (change) => {
      const answer = await bbs.updateDesiredLrp(change);
      told();
      return answer;
    },
  };
  const cc = await startTestCloudController({ bbs: watched });
  try {
    await seed(cc, count);
    await desireAll(cc, postgresql.open<BbsSchema>('bbs'));
    await compareAll(cc, bbs, count);
    seeded.resolve();
    const apps = await sql<{ guid: string; name: string; space_guid: string; domain_guid: string }>`
      SELECT apps.guid, name, apps.space_guid, domain_guid FROM apps JOIN routes ON routes.guid = apps.guid
      LIMIT ${ROUNDS + 1}`.execute(cc.db);
    const costs: Record<string, Cost[]> = { 'map-route': [], scale: [], rename: [] };
    for (const [round, app] of apps.rows.entries()) {
      const until = async (request: () => Promise<{ status: number; body: unknown }>) => {
        const done = new Promise<void>((resolve) => {
          told = resolve;
        });
        const reply = await request();
        if (reply.status >= 300) throw new Error(JSON.stringify(reply.body));
        await done;
      };
      const relationships = {
        space: { data: { guid: app.space_guid } },
        domain: { data: { guid: app.domain_guid } },
      };
      const route = await cc.admin.post('/v3/routes', { host: `more-${round}`, relationships });
      const measured: Record<string, Cost> = {
        'map-route': await costOf(() =>
          until(() =>
            cc.admin.post(`/v3/routes/${route.body.guid}/destinations`, {
              destinations: [{ app: { guid: app.guid } }],
            }),
          ),
        ),
        scale: await costOf(() =>
          until(() => cc.admin.post(`/v3/apps/${app.guid}/processes/web/actions/scale`, { instances: 2 })),
        ),
        rename: await costOf(() => until(() => cc.admin.patch(`/v3/apps/${app.guid}`, { name: `renamed-${round}` }))),
      };
      if (round > 0) for (const [name, cost] of Object.entries(measured)) costs[name]!.push(cost);
    }
    for (const [name, all] of Object.entries(costs)) {
      const { milliseconds, processor } = medianOf(all);
      console.log(
        `${name.padEnd(12)} ${milliseconds.toFixed(0).padStart(6)} ms until the BBS has it, ${processor.toFixed(0)} ms of CPU here`,
      );
    }
  } finally {
    seeded.resolve();
    await cc.close();
    await diego.close();
    await postgresql.stop();
  }
}

async function compareAll(cc: TestCloudController, bbs: Client<typeof Bbs>, count: number): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  for (const round of ['first', 'second']) {
    delay.enable();
    const differing: string[] = [];
    const { milliseconds, processor } = await costOf(async () => {
      for (const range of ALL_GUIDS) differing.push(...(await differingGroups({ db: cc.db, bbs, clock }, range)));
    });
    delay.disable();
    const part = ((100 * processor) / milliseconds).toFixed(1);
    console.log(
      `${count} apps, ${round} comparison of everything: ${milliseconds.toFixed(0)} ms, ${processor.toFixed(0)} ms of CPU here (${part} %), ` +
        `longest block ${(delay.max / 1e6).toFixed(0)} ms, ${differing.length} groups differ`,
    );
    delay.reset();
  }
}

const given = process.argv.slice(2).map(Number);
for (const count of given.length > 0 ? given : [100, 10_000, 100_000, 250_000]) await measure(count);
