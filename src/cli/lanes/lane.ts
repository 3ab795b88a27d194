import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { PROJECT } from '../../kit/project.js';
import { makeGroups, processorSecondsOf, removeGroups } from './control-groups.ts';
import { OUTSIDE } from './inside.ts';
import type { Run } from './runs.ts';

/** Programs that a lane needs, and the packages they come from. */
export const LANE_PACKAGES: Readonly<Record<string, string>> = { slirp4netns: 'slirp4netns' };

/** What makes a machine of namespaces, below the project. */
export const INSIDE = 'src/cli/lanes/inside-main.ts';
const NAMESPACES = ['--mount', '--propagation=private', '--net', '--pid', '--ipc', '--uts', '--cgroup'];
/** It enters its control groups before they become the root of its own. */
const ENTER = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"';

/** So many times as much as another lane gets of busy processors one that goes first. */
const FIRST_TIMES = 20;

export interface LaneOptions {
  env: NodeJS.ProcessEnv;
  /** A descriptor of a file. */
  output: number;
  /** What runs beside it waits where both want a processor. */
  goesFirst?: boolean;
  /** Where `INSIDE` lies as a bundle, which takes a third of the time to load. */
  inside?: string;
}

/** What became of a command in a lane. */
export interface Ended {
  code: number;
  /** Of all that ran in the lane; null where no control group counts it. */
  processorSeconds: number | null;
}

/**
 * Starts a command as root on a machine that nobody else sees: with a network, mounts, processes, /run, accounts and control groups
 * of its own, and a way out that goes through this process's network. All of it ends with the command, and with this process,
 * however that ends. Gives the process; its groups are gone when `ended` resolves, with what it took of the processors.
 */
export async function startInLane(
  run: Run,
  command: string,
  args: readonly string[],
  { env, output, goesFirst = false, inside = join(PROJECT, INSIDE) }: LaneOptions,
): Promise<{ child: ChildProcess; ended: Promise<Ended> }> {
  const { name, temporary } = run.nextLane();
  const enters = makeGroups(name, goesFirst ? FIRST_TIMES : 1);
  const words = [
    ...['--pdeathsig', 'KILL', 'sh', '-c', ENTER, 'lane', ...enters, '--'],
    ...['unshare', ...NAMESPACES, '--fork', '--kill-child', '--mount-proc'],
    ...['catatonit', '--', process.execPath, inside, temporary, command, ...args],
  ];
  const child = spawn('setpriv', words, { env, stdio: ['ignore', output, output] });
  const ended = once(child, 'exit').then(async ([code]: (number | null)[]) => {
    const processorSeconds = processorSecondsOf(name);
    await removeGroups(name);
    rmSync(temporary, { recursive: true, force: true });
    return { code: code ?? 1, processorSeconds };
  });
  await once(child, 'spawn');
  try {
    await leadOut(child, env);
  } catch (error) {
    child.kill('SIGKILL');
    await ended.catch(() => {});
    throw error;
  }
  return { child, ended };
}

/** Gives its network a way out, once it has one of its own. It ends when the process that writes to its pipe ends. */
async function leadOut(child: ChildProcess, env: NodeJS.ProcessEnv): Promise<void> {
  const own = await networkOf('self');
  for (const deadline = Date.now() + 10_000; (await networkOf(String(child.pid))) === own; ) {
    if (Date.now() > deadline || child.exitCode !== null)
      throw new CupolaError('no_lane', 'no network of its own came');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const words = ['--configure', '--mtu=65520', '--disable-host-loopback', '--exit-fd=3', String(child.pid), OUTSIDE];
  const slirp = spawn('slirp4netns', words, { env, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  child.once('exit', () => slirp.kill('SIGKILL'));
  await once(slirp, 'spawn');
}

async function networkOf(pid: string): Promise<string | null> {
  return readlink(`/proc/${pid}/ns/net`).catch(() => null);
}
