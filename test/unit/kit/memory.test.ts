import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../../../src/kit/process.ts';

/** Much in small pieces, of which few are kept: those keep what is beside them from being given back. Prints the MB it had and has. */
const PROGRAM = `
import { setTimeout as pause } from 'node:timers/promises';
import { returnMemory } from '${new URL('../../../src/kit/memory.ts', import.meta.url)}';
const megabytes = () => Math.round(process.memoryUsage.rss() / 1024 ** 2);
returnMemory({ begunMs: 100, lookMs: 100 });
await pause(200);
let pieces = Array.from({ length: 4_000 }, () => Buffer.allocUnsafeSlow(60_000).fill(1));
const had = megabytes();
pieces = pieces.filter((_, index) => index % 40 === 0);
globalThis.kept = pieces;
gc();
for (let looks = 0; looks < 100 && megabytes() > had - 150; looks++) await pause(100);
console.log(JSON.stringify({ had, has: megabytes() }));
`;

test('what a process held for a moment goes back to the machine', async () => {
  const args = ['--expose-gc', '--input-type=module', '--eval', PROGRAM];
  const { had, has } = JSON.parse(await run(process.execPath, args, { showWords: true }));
  assert.ok(had > 200, `${had} MB were held`);
  assert.ok(has < had - 150, `${has} of ${had} MB are held still`);
});

const HEAP_PROGRAM = `
import { setTimeout as pause } from 'node:timers/promises';
import { returnMemory } from '${new URL('../../../src/kit/memory.ts', import.meta.url)}';
const megabytes = () => Math.round(process.memoryUsage().heapUsed / 1024 ** 2);
returnMemory({ begunMs: 100, lookMs: 100, pauses: true });
await pause(200);
let lists = Array.from({ length: 1_000 }, () => new Array(10_000).fill(1.5));
const had = megabytes();
lists = null;
for (let looks = 0; looks < 100 && megabytes() >= 20; looks++) await pause(100);
console.log(JSON.stringify({ had, has: megabytes() }));
`;

test('so does what is left in the heap, where a pause keeps nobody waiting', async () => {
  const args = ['--input-type=module', '--eval', HEAP_PROGRAM];
  const { had, has } = JSON.parse(await run(process.execPath, args, { showWords: true }));
  assert.ok(had > 60, `${had} MB were held`);
  assert.ok(has < 20, `${has} of ${had} MB are held still`);
});
