import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ContainerLimits } from '../../../src/cell/garden/garden.ts';
import { LayerCache, MAKING_MS } from '../../../src/cell/garden/layers.ts';
import type { UnpackOrder } from '../../../src/cell/garden/unpacking.ts';
import { CupolaError, codeOf } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';
import { eventually } from '../../support/fake-control.ts';

const GIB = 1024 ** 3;
const LIMITS: ContainerLimits = { memoryBytes: GIB, diskBytes: 6 * GIB, pids: 64, cpuShares: 1024 };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cupola-layers-'));
});
afterEach(() => {
  for (const unpacking of unpackings.splice(0)) unpacking.end();
  rmSync(directory, { recursive: true, force: true });
});

/** An unpacking under way, which the test ends. */
interface Unpacking {
  directory: string;
  order: UnpackOrder;
  signal: AbortSignal;
  end(error?: Error): void;
}

/** Of the test: what it leaves under way would keep the process. */
const unpackings: Unpacking[] = [];

/** A cache whose unpackings do nothing until the test ends them, or their signal does unless they are deaf to it. */
function cache({ hasRoom = async () => true, deaf = false } = {}) {
  const under: Unpacking[] = [];
  const layers = new LayerCache({
    directory,
    unpack: (of, order, signal) =>
      new Promise<void>((resolve, reject) => {
        if (!deaf) signal.addEventListener('abort', () => reject(signal.reason));
        const unpacking: Unpacking = {
          directory: of,
          order,
          signal,
          end: (error) => (error ? reject(error) : resolve()),
        };
        under.push(unpacking);
        unpackings.push(unpacking);
      }),
    limits: LIMITS,
    hasRoom,
    log: new Logger('layers', {}, () => {}),
  });
  type Wanted = NonNullable<Parameters<LayerCache['ensure']>[4]>;
  const ask = (key: string, wanted: Wanted = {}, origin = 'one') =>
    layers.ensure(key, { format: 'tar', origin, open: async () => Readable.from([]) }, '/home', 'debian12', wanted);
  /** Asked, and already unpacking. */
  const begun = async (key: string, wanted: Wanted = {}, origin = 'one') => {
    const before = under.length;
    const done = ask(key, wanted, origin);
    done.catch(() => {}); // the test looks
    const late = performance.now() + 5_000;
    while (under.length === before) {
      assert.ok(performance.now() < late, 'nothing was begun');
      await turn(); // timers may stand still
    }
    return { done, unpacking: under[before]! };
  };
  const made = async (key: string, wanted: Wanted = {}) => {
    const { done, unpacking } = await begun(key, wanted);
    unpacking.end();
    await done;
  };
  const has = (...keys: string[]) =>
    keys.filter((key) => {
      try {
        return layers.path(key);
      } catch {
        return false;
      }
    });
  return { layers, under, ask, begun, made, has };
}

test('who asks for what is being made as they would make it waits for it, and takes its failure too', async () => {
  const { under, ask, begun } = cache();
  const { done, unpacking } = await begun('a');
  const others = [ask('a'), ask('a', { limits: { memoryBytes: GIB / 2 } })];
  unpacking.end();
  assert.deepEqual(await Promise.all([done, ...others]), Array(3).fill({ key: 'a' }));
  assert.deepEqual(await ask('a', {}, 'another'), { key: 'a' }, 'what is ready is everybody’s');
  const failing = await begun('b');
  const joined = ask('b');
  failing.unpacking.end(new Error('no archive'));
  await assert.rejects(failing.done, /no archive/);
  await assert.rejects(joined, /no archive/);
  assert.equal(under.length, 2);
});

test('SECURITY 32: a layer on its way from elsewhere keeps nobody waiting, and its failure is nobody else’s', async () => {
  const { layers, under, begun } = cache();
  const slow = await begun('a', {}, 'their registry');
  const own = await begun('a', {}, 'ours');
  const also = await begun('a', {}, 'a third');
  slow.unpacking.end(new CupolaError('registry_failed', 'theirs'));
  await assert.rejects(slow.done, { code: 'registry_failed' });
  own.unpacking.end();
  assert.deepEqual(await own.done, { key: 'a' });
  const tree = layers.path('a');
  also.unpacking.end();
  assert.deepEqual(await also.done, { key: 'a' });
  assert.equal(layers.path('a'), tree, 'the first stays');
  assert.deepEqual(readdirSync(directory).length, 1);
  assert.equal(under.length, 3);
});

test('SECURITY 32: nobody waits for an unpacking that has less to use than their own would', async () => {
  const { under, begun } = cache();
  await begun('a', { limits: { memoryBytes: GIB / 8, cpuShares: 128, diskBytes: GIB } });
  for (const limits of [
    { memoryBytes: GIB / 4, cpuShares: 128, diskBytes: GIB },
    { memoryBytes: GIB / 8, cpuShares: 256, diskBytes: GIB / 2 },
    { memoryBytes: GIB / 8, cpuShares: 128, diskBytes: 2 * GIB },
  ]) {
    const { unpacking } = await begun('a', { limits });
    assert.deepEqual(unpacking.order.limits, { ...LIMITS, ...limits });
  }
  assert.equal(under.length, 4);
});

test('SECURITY 32: an unpacking ends with who began it; who waited has it begun anew, within their own limits', async () => {
  const { under, ask, begun } = cache();
  const [large, little, other] = [new AbortController(), new AbortController(), new AbortController()];
  const first = await begun('a', { signal: large.signal, limits: { memoryBytes: GIB } });
  const limits = { memoryBytes: GIB / 8 };
  const waiting = [little, other].map(({ signal }) => ask('a', { signal, limits }));
  large.abort(new Error('stopped'));
  assert.equal(first.unpacking.signal.aborted, true);
  await assert.rejects(first.done, /stopped/);
  await eventually('it is begun anew', () => under.length === 2);
  assert.equal(under[1]!.order.limits.memoryBytes, GIB / 8);
  other.abort(new Error('left'));
  await assert.rejects(waiting[1]!, /left/);
  assert.equal(under[1]!.signal.aborted, false, 'it is not theirs');
  under[1]!.end();
  assert.deepEqual(await waiting[0], { key: 'a' });
  assert.equal(under.length, 2);
});

test('who asks while one that was given up still ends does not wait for that', async () => {
  const { begun } = cache({ deaf: true });
  const leaving = new AbortController();
  const { done, unpacking } = await begun('a', { signal: leaving.signal });
  leaving.abort(new Error('left'));
  await assert.rejects(done, /left/);
  const again = await begun('a');
  again.unpacking.end();
  assert.deepEqual(await again.done, { key: 'a' });
  unpacking.end();
  await eventually('nothing of the first is left', () => readdirSync(directory).length === 1);
});

test('SECURITY 25: a layer stays while a start holds it, whether or not it uses it yet; then it may go', async () => {
  const { layers, made, has, ask } = cache();
  const [one, other] = [new AbortController(), new AbortController()];
  await made('a', { signal: one.signal });
  await ask('a', { until: other.signal });
  await made('b');
  one.abort();
  await layers.prune(() => false);
  assert.deepEqual(has('a', 'b'), ['a']);
  other.abort();
  await layers.prune((key) => key === 'a');
  assert.deepEqual(has('a'), ['a']);
  await layers.prune(() => false);
  assert.deepEqual([has('a'), readdirSync(directory)], [[], []]);
});

test('what is asked for while others are removed stays, for each is judged when its turn comes', async () => {
  const { layers, made, has, ask } = cache();
  const start = new AbortController();
  await made('a');
  await made('b');
  const asked: Promise<unknown>[] = [];
  await layers.prune((key) => {
    if (key === 'a') asked.push(ask('b', { signal: start.signal }));
    return false;
  });
  assert.deepEqual(await Promise.all(asked), [{ key: 'b' }]);
  assert.deepEqual(has('a', 'b'), ['b']);
});

test('what is removed can be made again meanwhile', async () => {
  const { layers, made, has } = cache();
  await made('a');
  const old = layers.path('a');
  for (let number = 0; number < 50; number += 1) await made(`${number}`); // are removed when it is there again
  const pruned = layers.prune(() => false);
  await eventually('it is no longer there', () => has('a').length === 0);
  await made('a');
  await pruned;
  assert.deepEqual(has('a'), ['a']);
  assert.notEqual(layers.path('a'), old);
});

test('SECURITY 25: who needs room waits until all is gone that another is removing', async () => {
  const { layers, made } = cache();
  for (const key of ['a', 'b', 'c']) await made(key);
  void layers.prune(() => false);
  await layers.prune(() => false);
  assert.deepEqual(readdirSync(directory), []);
});

test('SECURITY 32: an unpacking that takes longer than any may ends', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { begun } = cache();
    const { done, unpacking } = await begun('a');
    mock.timers.tick(MAKING_MS - 1);
    assert.equal(unpacking.signal.aborted, false);
    mock.timers.tick(1);
    assert.equal(codeOf(unpacking.signal.reason), 'layer_too_slow');
    await assert.rejects(done, { code: 'layer_too_slow' });
    assert.equal(existsSync(unpacking.directory), false);
  } finally {
    mock.timers.reset();
  }
});

test('a disk whose room cannot be told has room', async () => {
  const { made, has } = cache({ hasRoom: () => Promise.reject(new Error('no statfs')) });
  await made('a');
  assert.deepEqual(has('a'), ['a']);
});
