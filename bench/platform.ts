/**
 * What a person waits for and what the machine pays: from installed to ready, memory of everything when idle, and the push of
 * the small Node.js app, first and again. Needs root and an installation of its own: `node bench/platform.ts [data directory]`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { checkedJson } from '../src/kit/checked.ts';
import { run } from '../src/kit/process.ts';
import { PlatformStatus } from '../src/platform/admin-messages.ts';

const project = new URL('..', import.meta.url).pathname;
const data = process.argv[2] ?? '/var/lib/cupola';
const cupola = (...args: string[]): Promise<string> =>
  run(`${project}cupola`, [...args], {
    timeoutMs: 900_000,
    env: { ...process.env, HOME: '/root' } as Record<string, string>,
  });

async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return (performance.now() - start) / 1000;
}

/** Proportional set size of every process whose session or parent belongs to the platform's components, in MB. */
function memoryOf(roots: readonly number[]): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {} // it ended meanwhile
  }
  let kilobytes = 0;
  for (const pid of parents.keys()) {
    let at: number | undefined = pid;
    while (at !== undefined && at > 1 && !roots.includes(at)) at = parents.get(at);
    if (at === undefined || !roots.includes(at)) continue;
    try {
      kilobytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {} // it ended meanwhile
  }
  return kilobytes / 1024;
}

await cupola('up', '--data', data);
await cupola('down', '--data', data);
const ready = await timed(() => cupola('up', '--data', data));
console.log(`installed to ready      ${ready.toFixed(2)} s (goal 3 s)`);

await new Promise((resolve) => setTimeout(resolve, 10_000));
const told = { code: 'invalid_answer', what: 'the status' };
const status = checkedJson(PlatformStatus, await cupola('status', '--data', data, '--json'), told);
const supervisors = readdirSync('/proc').filter((name) => {
  try {
    return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`supervisor-main.ts\0${data}`);
  } catch {
    return false;
  }
});
const roots = [...status.components.flatMap(({ pid }) => (pid === null ? [] : [pid])), ...supervisors.map(Number)];
console.log(`idle memory, everything ${memoryOf(roots).toFixed(0)} MB (goal 500 MB)`);

for (const which of ['first push of hello-node', 'second push of hello-node']) {
  const seconds = await timed(() =>
    cupola('push', `${project}examples/hello-node`, '--name', 'bench-node', '--data', data),
  );
  console.log(`${which.padEnd(26)}${seconds.toFixed(2)} s (goal 6 s)`);
}
