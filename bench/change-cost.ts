// What a change costs on its way from the BBS to HAProxy, with 100, 10,000 and 100,000 LRPs there, a route each: on a real PostgreSQL,
// the real Diego and router in this process, and a real HAProxy.
//
//   node bench/change-cost.ts [LRPs …]        rounds: ROUNDS, default 7, and one to warm up; medians are printed
//
// Needs root, as the tests do. Of the LRPs 1,900 at most have an instance that is ready: a router has 2,000 backends.
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import pg from 'pg';
import { ActualLrpSchema } from '../src/contracts/gen/diego_pb.js';
import type { BbsDatabase, BbsSchema } from '../src/diego/schema.ts';
import { SUBJECTS } from '../src/kit/bus.ts';
import { HaproxySocket } from '../src/kit/haproxy.ts';
import type { Router } from '../src/router/index.ts';
import { startTestPostgresql } from '../test/support/postgresql.ts';
import { lrpOf, startRouterFoundation } from './router-foundation.ts';

const WATCH = '--watch';
/** So long nothing happens in the router before a change counts as over. */
const QUIET_MS = 700;
const ROUNDS = Number(process.env['ROUNDS'] ?? 7);

interface Question {
  command: string;
  /** Of the answer. */
  pattern: string;
  /** Whether it is waited for, or for its end. */
  there: boolean;
}

interface Cost {
  milliseconds: number;
  processor: number;
  queries: number;
  bytes: number;
}

let queries = 0;
const query = pg.Client.prototype.query;
pg.Client.prototype.query = function counted(this: pg.Client, ...args: never[]) {
  queries += 1;
  return Reflect.apply(query, this, args);
} as typeof query;

/** Asks HAProxy in a process of its own, which costs this one nothing, and says when the answer came. */
function watch(socketPath: string): void {
  const socket = new HaproxySocket(socketPath, { timeoutMs: 120_000 });
  process.on('message', async ({ command, pattern, there }: Question) => {
    while (new RegExp(pattern, 'm').test(await socket.ask(command)) !== there) await sleep(2);
    process.send!(performance.timeOrigin + performance.now());
  });
}

/** The files of a directory, to be compared with what they are later. */
function filesOf(path: string): Map<string, { inode: number; size: number }> {
  return new Map(
    readdirSync(path).map((name) => {
      const { ino: inode, size } = statSync(join(path, name));
      return [name, { inode, size }];
    }),
  );
}

/** What was written since then: all of a file that is new, what was added to another one. */
function bytesSince(before: ReturnType<typeof filesOf>, now: ReturnType<typeof filesOf>): number {
  let bytes = 0;
  for (const [name, { inode, size }] of now) {
    const last = before.get(name);
    bytes += last?.inode === inode && last.size <= size ? size - last.size : size;
  }
  return bytes;
}

async function quiet(router: Router): Promise<void> {
  for (let last = router.status().convergedAt, since = performance.now(); performance.now() - since < QUIET_MS; ) {
    await sleep(50);
    const { convergedAt, problem } = router.status();
    if (convergedAt === last && problem === null) continue;
    last = convergedAt;
    since = performance.now();
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

function medianOf(costs: readonly Cost[]): Cost {
  const of = (name: keyof Cost) => median(costs.map((cost) => cost[name]));
  return { milliseconds: of('milliseconds'), processor: of('processor'), queries: of('queries'), bytes: of('bytes') };
}

async function measure(db: BbsDatabase, count: number): Promise<Map<string, Cost>> {
  const { bus, bbs, cell, settings, router, close } = await startRouterFoundation(db, count);
  const watcher: ChildProcess = fork(import.meta.filename, [WATCH, settings.sockets.driver]);
  const costs = new Map<string, Cost[]>();

  async function cost(name: string, question: Question, change: () => Promise<unknown>): Promise<void> {
    await quiet(router);
    const files = filesOf(settings.stateDirectory);
    const queriesBefore = queries;
    const processor = process.cpuUsage();
    const startedAt = performance.timeOrigin + performance.now();
    const { promise, resolve } = Promise.withResolvers<number>();
    watcher.once('message', (at) => resolve(Number(at)));
    watcher.send(question);
    await change();
    const milliseconds = (await promise) - startedAt;
    await quiet(router);
    const { user, system } = process.cpuUsage(processor);
    const bytes = bytesSince(files, filesOf(settings.stateDirectory));
    const result = { milliseconds, processor: (user + system) / 1_000, queries: queries - queriesBefore, bytes };
    const all = costs.get(name);
    // The first round warms up, and begins the file.
    if (all) all.push(result);
    else costs.set(name, []);
  }

  try {
    const startedAt = performance.now();
    await router.start();
    while (router.status().convergedAt === null) await sleep(20);
    const inPlace = performance.now() - startedAt;
    await quiet(router);
    const processor = process.cpuUsage();
    const { convergedAt } = router.status();
    bus.publish(SUBJECTS.diego); // of no name
    while (router.status().convergedAt === convergedAt) await sleep(20);
    const { user, system } = process.cpuUsage(processor);
    const [ms, cpu] = [inPlace.toFixed(0), ((user + system) / 1_000).toFixed(0)];
    console.log(`${count} LRPs: in place after ${ms} ms; a comparison of everything costs ${cpu} ms of CPU here`);
    const haproxy = new HaproxySocket(settings.sockets.driver);
    const get = (map: string, key: string) => `get map ${settings.runDirectory}/${map}.map ${key}`;
    for (let round = 0; round <= ROUNDS; round += 1) {
      const processGuid = lrpOf(round * 7);
      const host = `app-${round * 7}.bench.test`;
      const backend = /value="(be-\d+)"/.exec(await haproxy.ask(get('routes', `${host}/`)))![1]!;
      const route = (name: string) => ({ guid: name, host: name, port: 8080, protocol: 'http1' });
      const lrp = create(ActualLrpSchema, {
        processGuid,
        index: 1,
        instanceGuid: `instance-${round * 7}-1`,
        cellId: 'cell-1',
        hostAddress: '127.0.0.1',
        ports: [{ containerPort: 8080, hostTlsProxyPort: 61_002 }],
      });
      const first = create(ActualLrpSchema, { ...lrp, index: 0, instanceGuid: `instance-${round * 7}-0` });
      // In the rotation: its administrative state is 0.
      const serves = (guid: string, there: boolean) => ({
        command: `show servers state ${backend}`,
        pattern: `^\\S+ \\S+ \\S+ ${guid} \\S+ 2 0 `,
        there,
      });
      await cost('map-route', { command: get('routes', `new-${host}/`), pattern: 'found=yes', there: true }, () =>
        bbs.updateDesiredLrp({ processGuid, setRoutes: true, routes: [route(host), route(`new-${host}`)] }),
      );
      await cost('scale', serves(lrp.instanceGuid, true), async () => {
        await bbs.updateDesiredLrp({ processGuid, instances: 2 });
        await cell.startActualLrp(lrp);
      });
      await cost('crash', serves(lrp.instanceGuid, false), () => cell.crashActualLrp(lrp));
      await cost('crash of the last', serves(first.instanceGuid, false), () => cell.crashActualLrp(first));
    }
  } finally {
    watcher.kill();
    await close();
  }
  return new Map([...costs].map(([name, all]) => [name, medianOf(all)]));
}

async function main(): Promise<void> {
  const [given, sizes] = [process.argv.slice(2).map(Number), [100, 10_000, 100_000]];
  const postgresql = await startTestPostgresql(['bbs']);
  try {
    const results = new Map<number, Map<string, Cost>>();
    for (const count of given.length > 0 ? given : sizes)
      results.set(count, await measure(postgresql.open<BbsSchema>('bbs'), count));
    console.log('\nchange               LRPs    until HAProxy has it    CPU here    queries    bytes written');
    for (const name of [...results.values()][0]!.keys()) {
      for (const [count, costs] of results) {
        const { milliseconds, processor, queries: asked, bytes } = costs.get(name)!;
        console.log(
          [
            name.padEnd(17),
            String(count).padStart(8),
            `${milliseconds.toFixed(0)} ms`.padStart(23),
            `${processor.toFixed(0)} ms`.padStart(11),
            String(asked).padStart(10),
            String(bytes).padStart(16),
          ].join(' '),
        );
      }
    }
  } finally {
    await postgresql.stop();
  }
}

const [first, second] = process.argv.slice(2);
if (first === WATCH) watch(second!);
else await main();
