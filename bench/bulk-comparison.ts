// What the comparison of everything costs that the router makes each 30 s, with 10,000, 100,000 and 250,000 LRPs there: on a real
// PostgreSQL, the real Diego and router in this process, and a real HAProxy.
//
//   node bench/bulk-comparison.ts [LRPs …]        rounds: ROUNDS, default 5, and one to warm up; medians, and the longest block of all
//
// Needs root, as the tests do. Of the LRPs 1,900 at most have an instance that is ready: a router has 2,000 backends.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { BbsDatabase, BbsSchema } from '../src/diego/schema.ts';
import { SUBJECTS } from '../src/kit/bus.ts';
import { HaproxySocket } from '../src/kit/haproxy.ts';
import { startTestPostgresql } from '../test/support/postgresql.ts';
import { lrpOf, startRouterFoundation } from './router-foundation.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const BEHIND = 10;
/** Of a clock of /proc, in milliseconds. */
const TICK_MS = 10;

interface Cost {
  /** Until the router has come to what it is to be. */
  wall: number;
  /** Processor time of this process: BBS and router. */
  here: number;
  postgresql: number;
  haproxy: number;
  /** The longest time for which nobody else had a turn here, on the clock, and of it what was computed. */
  block: number;
  computed: number;
}

function statOf(pid: number | string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // it ended meanwhile
  }
}

/** The processor time of a process and its children, those that ended too, in milliseconds. */
function processorOf(pid: number): number {
  const [own, ...children] = [
    statOf(pid),
    ...readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(statOf)
      .filter(([, parent]) => Number(parent) === pid),
  ];
  const ticks = (stat: string[], ...at: number[]) => at.reduce((sum, index) => sum + Number(stat[index] ?? 0), 0);
  return TICK_MS * (ticks(own!, 11, 12, 13, 14) + children.reduce((sum, stat) => sum + ticks(stat, 11, 12), 0));
}

/** Notes how long a timer of a millisecond is late, and what this thread computed meanwhile. */
function watchBlocks(): () => { block: number; computed: number } {
  let [block, computed] = [0, 0];
  let at = performance.now();
  let processor = process.threadCpuUsage();
  const timer = setInterval(() => {
    const now = performance.now();
    const { user, system } = process.threadCpuUsage(processor);
    block = Math.max(block, now - at);
    computed = Math.max(computed, (user + system) / 1_000);
    at = now;
    processor = process.threadCpuUsage();
  }, 1);
  return () => {
    clearInterval(timer);
    return { block, computed };
  };
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function measure(db: BbsDatabase, postgresql: number, count: number): Promise<Map<string, Cost>> {
  const { bus, settings, engine, router, close } = await startRouterFoundation(db, count);
  const haproxy = new HaproxySocket(settings.sockets.driver);
  const results = new Map<string, Cost>();
  const mapped = async (host: string) =>
    /found=yes/.test(await haproxy.ask(`get map ${settings.runDirectory}/routes.map ${host}/`));
  const settled = async () => {
    for (let last = router.status().convergedAt, quiet = 0; quiet < 10; quiet += 1) {
      await sleep(100);
      if (router.status().convergedAt !== last) quiet = 0;
      last = router.status().convergedAt;
    }
  };

  async function cost(begin: () => unknown, isOver: () => boolean | Promise<boolean>): Promise<Cost> {
    globalThis.gc?.();
    const before = { postgresql: processorOf(postgresql), haproxy: processorOf(engine.pid) };
    const processor = process.cpuUsage();
    const blocks = watchBlocks();
    const startedAt = performance.now();
    begin();
    while (!(await isOver())) await sleep(5);
    const wall = performance.now() - startedAt;
    const { block, computed } = blocks();
    const { user, system } = process.cpuUsage(processor);
    return {
      wall,
      here: (user + system) / 1_000,
      postgresql: processorOf(postgresql) - before.postgresql,
      haproxy: processorOf(engine.pid) - before.haproxy,
      block,
      computed,
    };
  }

  async function costs(name: string, one: (round: number) => Promise<Cost>): Promise<void> {
    const all: Cost[] = [];
    for (let round = 0; round <= ROUNDS; round += 1) {
      await settled();
      const result = await one(round);
      if (round > 0) all.push(result);
    }
    const of = (what: keyof Cost) => all.map((result) => result[what]);
    results.set(name, {
      wall: median(of('wall')),
      here: median(of('here')),
      postgresql: median(of('postgresql')),
      haproxy: median(of('haproxy')),
      block: Math.max(...of('block')),
      computed: Math.max(...of('computed')),
    });
  }

  /** A round ends after now. */
  const after = (begin: () => unknown) => {
    const { convergedAt } = router.status();
    return cost(begin, () => router.status().convergedAt !== convergedAt);
  };

  try {
    results.set(
      'start',
      await cost(
        () => void router.start(),
        () => router.status().convergedAt !== null,
      ),
    );
    await costs('nothing changed', () => after(() => bus.publish(SUBJECTS.diego)));
    await costs(`${BEHIND} changed`, async (round) => {
      const changed = Array.from({ length: BEHIND }, (_, n) => lrpOf(n * 100 + 3));
      await sql`UPDATE desired_lrps SET routes = jsonb_set(routes, '{0,host}', to_jsonb('r' || ${round}::integer || '-' || process_guid || '.bench.test'))
        WHERE process_guid = ANY(${changed}::text[])`.execute(db);
      return cost(
        () => bus.publish(SUBJECTS.diego),
        async () => (await Promise.all(changed.map((guid) => mapped(`r${round}-${guid}.bench.test`)))).every(Boolean),
      );
    });
  } finally {
    await close();
  }
  return results;
}

async function main(): Promise<void> {
  const given = process.argv.slice(2).map(Number);
  const postgresql = await startTestPostgresql(['bbs']);
  const server = Number(
    readFileSync(join(postgresql.socketDirectory, '../data/postmaster.pid'), 'utf8').split('\n')[0],
  );
  try {
    console.log(
      'comparison          LRPs       wall   CPU here (part)  PostgreSQL   HAProxy   longest block (computed), ms',
    );
    for (const count of given.length > 0 ? given : [10_000, 100_000, 250_000]) {
      for (const [name, cost] of await measure(postgresql.open<BbsSchema>('bbs'), server, count)) {
        const ms = (what: number, width: number) => what.toFixed(0).padStart(width);
        console.log(
          `${name.padEnd(16)}${String(count).padStart(8)}${ms(cost.wall, 11)}${ms(cost.here, 11)} (${ms((100 * cost.here) / cost.wall, 3)} %)` +
            `${ms(cost.postgresql, 12)}${ms(cost.haproxy, 10)}${ms(cost.block, 11)} (${ms(cost.computed, 0)})`,
        );
      }
    }
  } finally {
    await postgresql.stop();
  }
}

await main();
