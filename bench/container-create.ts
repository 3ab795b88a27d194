import { setTimeout as pause } from 'node:timers/promises';
import { createLimiter } from '../src/kit/limiter.ts';
import { containerSpec, runShell, startTestGarden } from '../test/support/garden.ts';

/*
 * How long a container takes: create → running (network, limits, disk and root file system in place), a first process
 * in it, and destroyed. Medians of 20 in a row ("create"), of 20 with a moment in between, as a cell mostly has it
 * ("create after a moment"), then 8 and 100 at once. Needs root and the test stack.
 */
const ROUNDS = 20;
const figures: Record<string, number[]> = {
  create: [],
  'create after a moment': [],
  process: [],
  destroy: [],
};

async function timed<T>(name: string, body: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await body();
  figures[name]!.push(performance.now() - began);
  return result;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const t = await startTestGarden('tgz', '10.231.26.0/24');
try {
  const limits = { memoryBytes: 256 * 1024 ** 2, diskBytes: 1024 ** 3, pids: 1024, cpuShares: 256 };
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const rested = round >= ROUNDS;
    if (rested) await pause(400);
    const container = await timed(rested ? 'create after a moment' : 'create', () =>
      t.garden.create(containerSpec(`c${round}`, { limits })),
    );
    await timed('process', () => runShell(container, 'true'));
    await timed('destroy', () => t.garden.destroy(`c${round}`));
  }
  for (const [name, values] of Object.entries(figures)) {
    console.log(`${name.padEnd(21)} median ${median(values).toFixed(1)} ms, best ${Math.min(...values).toFixed(1)} ms`);
  }
  for (const count of [8, 100]) {
    const began = performance.now();
    // As many at a time as a cell makes.
    const creating = createLimiter(count === 8 ? 8 : 4);
    const handles = [...Array(count).keys()].map((n) => `p${count}-${n}`);
    await Promise.all(handles.map((handle) => creating(() => t.garden.create(containerSpec(handle, { limits })))));
    console.log(`${count} at once: ${((performance.now() - began) / 1_000).toFixed(2)} s`);
    await Promise.all(handles.map((handle) => t.garden.destroy(handle)));
  }
} finally {
  await t.stop();
}
