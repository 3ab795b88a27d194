// How fast Diego places and converges, on the real code and a real PostgreSQL with cells that only speak the contract.
//
//   node bench/diego-convergence.ts                                  100 cells, 8,200 starts
//   node bench/diego-convergence.ts --cells 1000 --lrps 250000       plus a full convergence of that many
//
// Needs root, as the tests do: it starts a PostgreSQL of its own.
import { randomBytes, randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { CloudControllerInternal } from '../src/contracts/gen/cloud-controller_pb.js';
import { CellPresenceSchema, DesiredLrpSchema, type LrpKey, Rep } from '../src/contracts/gen/diego_pb.js';
import { Diego } from '../src/diego/diego.ts';
import { inParallel } from '../src/diego/reps.ts';
import { type BbsSchema, MIGRATIONS } from '../src/diego/schema.ts';
import { Definitions } from '../src/diego/sealing.ts';
import { LocalBus } from '../src/kit/bus.ts';
import { Sealer } from '../src/kit/crypto.ts';
import { migrate } from '../src/kit/database.ts';
import { client, inMemoryTransport } from '../src/kit/rpc.ts';
import { silentLog, startTestPostgresql } from '../test/support/postgresql.ts';

const { values } = parseArgs({
  options: {
    cells: { type: 'string', default: '100' },
    lrps: { type: 'string', default: '8200' },
    'instances-per-app': { type: 'string', default: '5' },
    organizations: { type: 'string', default: '40' },
  },
});
const cellCount = Number(values.cells);
const lrpCount = Number(values.lrps);
const instancesPerApp = Number(values['instances-per-app']);
const apps = Math.ceil(lrpCount / instancesPerApp);
const containers = Math.ceil((lrpCount / cellCount) * 1.5);

const postgresql = await startTestPostgresql(['bbs']);
try {
  await main();
} finally {
  await postgresql.stop();
}

async function main(): Promise<void> {
  const db = postgresql.open<BbsSchema>('bbs');
  await migrate(db, 'bbs', MIGRATIONS);
  const held = new Map<string, LrpKey[]>();
  const presences = new Map(
    Array.from({ length: cellCount }, (_, n) => {
      const cellId = `cell-${String(n).padStart(4, '0')}`;
      held.set(cellId, []);
      const presence = create(CellPresenceSchema, {
        cellId,
        zone: `z${n % 3}`,
        repUrl: `https://${cellId}`,
        memoryMb: containers * 64,
        diskMb: containers * 64,
        containers,
        stacks: ['debian12'],
      });
      return [cellId, presence] as const;
    }),
  );
  let skewMs = 0;
  const clock = (): number => Date.now() + skewMs;
  const sealer = new Sealer([{ label: 'bench', key: randomBytes(32) }]);
  const diego = new Diego({
    db,
    sealer,
    bus: new LocalBus(),
    log: silentLog,
    clock,
    rep: ({ cellId }) =>
      client(
        Rep,
        inMemoryTransport((router) =>
          router.service(Rep, {
            state: () => {
              const lrps = held.get(cellId)!;
              const free = containers - lrps.length;
              return {
                presence: presences.get(cellId)!,
                availableMemoryMb: free * 64,
                availableDiskMb: free * 64,
                availableContainers: free,
                lrps,
              };
            },
            perform: (work) => {
              for (const { desiredLrp, index } of work.lrpStarts) {
                held.get(cellId)!.push({
                  $typeName: 'cupola.diego.v1.LrpKey',
                  processGuid: desiredLrp!.processGuid,
                  index,
                  instanceGuid: randomUUID(),
                });
              }
              return {};
            },
            stopLrp: () => ({}),
          }),
        ),
      ),
    cloudController: client(
      CloudControllerInternal,
      inMemoryTransport((router) => router.service(CloudControllerInternal, {})),
    ),
  });
  const heartbeats = async (): Promise<void> => {
    await inParallel(presences.values(), 16, async (presence) => {
      if (!lost.has(presence.cellId)) await diego.cells.heartbeat(presence, clock());
    });
  };
  const lost = new Set<string>();
  const runningOn = new Map<string, number>();

  await desire(new Definitions(sealer));
  console.log(`${cellCount} cells, ${apps} apps, ${lrpCount} instances`);
  await heartbeats();

  await timed('convergence that creates every actual LRP', lrpCount, () => diego.converger.converge());
  const beating = setInterval(() => void heartbeats(), 5_000);
  let milliseconds = 0;
  for (let before = -1; before !== startedCount(); ) {
    before = startedCount();
    const startedAt = performance.now();
    await diego.auctioneer.auction();
    milliseconds += performance.now() - startedAt;
    await running(); // the cells' claims and starts: theirs, and not timed
  }
  clearInterval(beating);
  console.log(`auction: place, reserve, open definitions, hand over: ${milliseconds.toFixed(0)} ms`);
  const loads = [...held.values()].map((lrps) => lrps.length);
  const started = startedCount();
  console.log(`  started ${started}, imbalance ${Math.max(...loads) - Math.min(...loads)} a cell`);
  console.log(`  ${(milliseconds / Math.max(started, 1)).toFixed(3)} ms an instance`);

  await heartbeats();
  await timed('convergence with everything in order (asks every cell)', lrpCount, () => diego.converger.converge());

  // One cell in a hundred forgets all it ran; one app in a hundred loses its rows; one in a hundred is scaled down.
  for (const cellId of [...presences.keys()].filter((_, n) => n % 100 === 7)) held.set(cellId, []);
  await sql`DELETE FROM actual_lrps WHERE hashtext(process_guid) % 100 = 3`.execute(db);
  await sql`UPDATE desired_lrps SET instances = 1 WHERE hashtext(process_guid) % 100 = 5`.execute(db);
  await heartbeats();
  const found = await timed('convergence after losses, with the auction of what was lost', lrpCount, async () => {
    const convergence = await diego.converger.converge();
    await diego.auctioneer.run();
    console.log(`  ${JSON.stringify(convergence)}`);
  });
  console.log(`  ${(found / 1_000).toFixed(2)} s in all`);
  await running();
  await loseATenth();

  /** From the moment the silence has lasted long enough, since waiting for it costs nothing. */
  async function loseATenth(): Promise<void> {
    const stepMs = diego.settings.cellLostAfterMs / 3;
    await diego.converger.sweep();
    for (const cellId of [...presences.keys()].filter((_, n) => n % 10 === 4)) lost.add(cellId);
    const before = [...lost].reduce((sum, cellId) => sum + held.get(cellId)!.length, 0);
    for (let step = 0; step < 4; step += 1) {
      if (step > 0) skewMs += stepMs;
      await heartbeats();
      if (step < 3) await diego.converger.sweep();
    }
    skewMs += 1_000;
    console.log(`${lost.size} of ${cellCount} cells lost at once, with ${before} instances`);
    const startedBefore = [...held].reduce((sum, [cellId, lrps]) => sum + (lost.has(cellId) ? 0 : lrps.length), 0);
    const noticed = await timed('  noticed: every place of theirs free', before, () => diego.converger.sweep());
    const placed = await timed('  placed and handed over again', before, () => diego.auctioneer.run());
    const again =
      [...held].reduce((sum, [cellId, lrps]) => sum + (lost.has(cellId) ? 0 : lrps.length), 0) - startedBefore;
    const survivors = [...held].filter(([cellId]) => !lost.has(cellId)).map(([, lrps]) => lrps.length);
    console.log(
      `  ${again} of ${before} have a cell again after ${((noticed + placed) / 1_000).toFixed(2)} s; the rest had been scaled away`,
    );
    console.log(`  imbalance ${Math.max(...survivors) - Math.min(...survivors)} a cell`);
  }

  async function desire(definitions: Definitions): Promise<void> {
    for (let from = 0; from < apps; from += 5_000) {
      const guids = Array.from({ length: Math.min(5_000, apps - from) }, () => `${randomUUID()}-${randomUUID()}`);
      const sealed = guids.map((processGuid) =>
        definitions.sealDesiredLrp(
          create(DesiredLrpSchema, {
            processGuid,
            memoryMb: 64,
            diskMb: 64,
            stack: 'debian12',
            environment: [{ name: 'VCAP_SERVICES', value: 'x'.repeat(500) }],
          }),
        ),
      );
      await sql`
        INSERT INTO desired_lrps (process_guid, instances, annotation, stack, placement_tags, memory_mb, disk_mb, routes,
                                  egress_rules, owner, definition, key_label)
        SELECT guid, ${instancesPerApp}, '', 'debian12', '{}', 64, 64, '[]', '[]',
          jsonb_build_object('organizationGuid', 'org-' || abs(hashtext(guid)) % ${Number(values.organizations)}::integer),
          definition, 'bench'
        FROM unnest(${guids}::text[], ${sealed.map(({ data }) => data)}::bytea[]) AS k (guid, definition)`.execute(db);
    }
    await sql`ANALYZE`.execute(db);
  }

  function startedCount(): number {
    return [...held.values()].reduce((sum, lrps) => sum + lrps.length, 0);
  }

  /** Everything that was started runs, since an hour. */
  async function running(): Promise<void> {
    for (const [cellId, lrps] of held) {
      if (lrps.length === runningOn.get(cellId)) continue;
      runningOn.set(cellId, lrps.length);
      await sql`
        UPDATE actual_lrps a SET state = 'RUNNING', cell_id = ${cellId}, instance_guid = k.instance_guid,
          since_ms = ${Date.now() - 3_600_000}, placed_cell = '', placed_until_ms = 0
        FROM unnest(${lrps.map((lrp) => lrp.processGuid)}::text[], ${lrps.map((lrp) => lrp.index)}::integer[],
                    ${lrps.map((lrp) => lrp.instanceGuid)}::text[]) AS k (process_guid, index, instance_guid)
        WHERE a.process_guid = k.process_guid AND a.index = k.index`.execute(db);
    }
    await sql`ANALYZE`.execute(db);
  }
}

async function timed(name: string, count: number, body: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await body();
  const milliseconds = performance.now() - startedAt;
  console.log(`${name}: ${milliseconds.toFixed(0)} ms (${Math.round(count / (milliseconds / 1_000))} LRPs/s)`);
  return milliseconds;
}
