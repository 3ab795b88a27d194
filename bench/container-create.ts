import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { engineCommand } from '../src/kit/engines.ts';
import { createLimiter } from '../src/kit/limiter.ts';
import { startProgram } from '../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../src/kit/process.ts';
import { containerSpec, runShell, startTestGarden } from '../test/support/garden.ts';

/*
 * How long a container takes: create → running (network, limits, disk and root file system in place), a first process
 * in it, and destroyed. In turns with it what bare runc takes, `runc create` and `runc start`, for the same bundle: the engine image's
 * runc, config.json as the garden wrote it, its namespaces, limits and seccomp filter. Of the peer's time is not: the disk, the ID-mapped
 * root file system, which another container made before, the link and its packet filter, and conmon. Nor a shell: one that runs all the time
 * where the engines are starts it. Medians of 20 in a row ("create"), of 20 with a moment in between, as a cell mostly has it ("create after a
 * moment"), then 8 and 100 at once. Needs root and the test stack.
 */
const ROUNDS = Number(process.env['ROUNDS'] ?? 20);
const COUNTS = (process.env['COUNTS'] ?? '8 100').split(' ').map(Number);
const limits = { memoryBytes: 256 * 1024 ** 2, diskBytes: 1024 ** 3, pids: 1024, cpuShares: 256 };
const figures = new Map<string, number[]>();

async function timed<T>(name: string, body: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await body();
  figures.set(name, [...(figures.get(name) ?? []), performance.now() - began]);
  return result;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Runs commands in turn where the engines are, and waits for each. */
function shellOfEngines() {
  const [program, ...words] = engineCommand('sh', []);
  const shell = startProgram(program, words, { env: PLAIN_ENVIRONMENT });
  shell.stderr.pipe(process.stderr);
  const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
  return {
    async run(commands: string): Promise<void> {
      shell.stdin.write(`${commands}\necho $?\n`);
      const { value } = await lines.next();
      if (value !== '0') throw new Error(`the peer ended with ${value}: ${commands}`);
    },
    end: () => shell.stdin.end(),
  };
}

const t = await startTestGarden('tgz', '10.231.26.0/24');
const shell = shellOfEngines();
try {
  const bundle = join(t.settings.runDirectory, 'peer');
  await mkdir(bundle);
  await t.garden.create(containerSpec('model', { limits }));
  const config = JSON.parse(await readFile(join(t.settings.rootDirectory, 'containers/1/config.json'), 'utf8'));
  config.linux.cgroupsPath = '/cupola-tgz-peer';
  await writeFile(join(bundle, 'config.json'), JSON.stringify(config));
  const peer = async (what: string, runtime: string): Promise<void> => {
    const command = `${runtime} --root ${bundle}/state`;
    const begin = `${command} create --bundle ${bundle} peer </dev/null >/dev/null && ${command} start peer`;
    await timed(what, () => shell.run(begin));
    await shell.run(`${command} delete --force peer`);
  };
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const moment = round < ROUNDS ? '' : ' after a moment';
    const rest = () => (moment ? pause(400) : null);
    await rest();
    const container = await timed(`create${moment}`, () => t.garden.create(containerSpec(`c${round}`, { limits })));
    await timed('process', () => runShell(container, 'true'));
    await timed('destroy', () => t.garden.destroy(`c${round}`));
    await rest();
    await peer(`bare runc${moment}`, 'runc');
  }
  for (const [name, values] of figures) {
    console.log(`${name.padEnd(24)} median ${median(values).toFixed(1)} ms, best ${Math.min(...values).toFixed(1)} ms`);
  }
  for (const moment of ['', ' after a moment']) {
    const ratio = median(figures.get(`create${moment}`)!) / median(figures.get(`bare runc${moment}`)!);
    console.log(`create${moment}: ${ratio.toFixed(2)} of bare runc`);
  }
  for (const count of COUNTS) {
    const began = performance.now();
    // As many at a time as a cell makes.
    const creating = createLimiter(count === 8 ? 8 : 4);
    const handles = [...Array(count).keys()].map((n) => `p${count}-${n}`);
    await Promise.all(handles.map((handle) => creating(() => t.garden.create(containerSpec(handle, { limits })))));
    console.log(`${count} at once: ${((performance.now() - began) / 1_000).toFixed(2)} s`);
    await Promise.all(handles.map((handle) => t.garden.destroy(handle)));
  }
} finally {
  shell.end();
  await rm(join(t.settings.runDirectory, 'peer'), { recursive: true, force: true });
  await t.stop();
}
