import { containerSpec, runShell, startTestGarden } from '../test/support/garden.ts';

/*
 * How long a container takes: create → running (network, limits, disk and root file system in place), a first process
 * in it, and destroyed. Medians of 20, then 8 at once. Needs root and the test stack.
 */
const ROUNDS = 20;
const figures: Record<string, number[]> = { create: [], process: [], destroy: [] };

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
  for (let round = 0; round < ROUNDS; round++) {
    const container = await timed('create', () => t.garden.create(containerSpec(`c${round}`, { limits })));
    await timed('process', () => runShell(container, 'true'));
    await timed('destroy', () => t.garden.destroy(`c${round}`));
  }
  for (const [name, values] of Object.entries(figures)) {
    console.log(`${name.padEnd(8)} median ${median(values).toFixed(1)} ms, best ${Math.min(...values).toFixed(1)} ms`);
  }
  const began = performance.now();
  await Promise.all([...Array(8).keys()].map((n) => t.garden.create(containerSpec(`p${n}`, { limits }))));
  console.log(`8 at once: ${(performance.now() - began).toFixed(1)} ms`);
} finally {
  await t.stop();
}
