/**
 * Runs in namespaces of its own (network, mounts, processes, control groups): makes of them a machine on which nothing of
 * Cupola's is yet, and runs a command there. What it changes nobody outside sees.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';
import { LEFT, leftovers, MADE_IN_VAR_LIB, machineState, mountPoints } from '../machine-state.ts';
import { type Hierarchy, hierarchiesIn } from './control-groups.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** The interface that leads out, once the process outside has made it. */
export const OUTSIDE = 'eth0';
/** slirp4netns answers names there, with what the machine itself knows. */
const NAME_SERVER = '10.0.2.3';
const MOST_WAITING_MS = 10_000;
/** The default route's destination, as the kernel writes it. */
const EVERYWHERE = '00000000';
const VAR_LIB = '/var/lib';
const GROUPS = '/sys/fs/cgroup';
/** The machine's is everybody's; this one goes with the lane. */
const TEMPORARY = '/tmp';
/** The variable with the path that the same directory has by another mount, that of the machine's files. */
export const OUTER_TEMPORARY = 'CUPOLA_TEST_OUTER_TEMPORARY';
/** Distributions give the highest below 1000. */
const NUMBERS = ['SYS_UID_MIN 500', 'SYS_UID_MAX 599', 'SYS_GID_MIN 500', 'SYS_GID_MAX 599'];

/** Makes the machine. One shell runs all that changes mounts: to start a program from here takes several times what most of these take. */
async function prepare(temporary: string): Promise<void> {
  const hierarchies = hierarchiesIn(readFileSync('/proc/self/mountinfo', 'utf8'));
  const commands = [
    ...uncovered('/run/', '/var/lib/cupola'),
    mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run'),
    ['mkdir', '--mode=1777', '/run/lock'],
    ...coverTemporary(temporary),
    // A copy, so that neither sees what the other writes there.
    ['cp', '--archive', '/etc', '/run/etc'],
    mount('--bind', '/run/etc', '/etc'),
    ...coverVarLib(),
    mount('-t', 'sysfs', 'sysfs', '/sys'),
    ...mountControlGroups(hierarchies),
    ['ip', 'link', 'set', 'lo', 'up'],
  ];
  const script = commands.map((words) => words.map(quoted).join(' ')).join('\n');
  await run('sh', ['-e', '-c', `${UNCOVER}\n${script}`], { showWords: true });
  ownEtc();
  const [first] = hierarchies;
  if (first?.type === 'cgroup2') giveControllers(first.point);
  await wayOut();
}

type Command = readonly string[];

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Takes a mount away. One whose directory was removed outside meanwhile went with it. */
const UNCOVER = 'uncover() { umount --lazy "$1" || ! mountpoint --quiet "$1"; }';

/** What a platform outside has mounted at what begins so: what runs here would find it in the list of mounts, though nothing of it is to be seen. */
function uncovered(...beginnings: string[]): Command[] {
  const points = mountPoints().filter((point) => beginnings.some((beginning) => point.startsWith(beginning)));
  return points.toReversed().map((point) => ['uncover', point]);
}

/**
 * What is there but for a platform's data, whether it lies there now or comes later; what is written there goes with the lane, but for
 * what the package manager knows of the machine's programs.
 */
function coverVarLib(): Command[] {
  const [below, own, work] = ['/run/var-lib', MADE_IN_VAR_LIB, '/run/var-lib-work'] as const;
  const uncovered = ['dpkg', 'apt'].filter((name) => existsSync(join(VAR_LIB, name)));
  return [
    ['mkdir', below, own, work],
    mount('--bind', VAR_LIB, below),
    ['mknod', join(own, 'cupola'), 'c', '0', '0'], // to an overlay: nothing of this name
    mount('-t', 'overlay', '-o', `lowerdir=${below},upperdir=${own},workdir=${work}`, 'overlay', VAR_LIB),
    ...uncovered.map((name) => mount('--bind', join(below, name), join(VAR_LIB, name))),
  ];
}

/** A checkout that lies there stays where it is. */
function coverTemporary(directory: string): Command[] {
  const cover = mount('--bind', directory, TEMPORARY);
  if (!ROOT.startsWith(`${TEMPORARY}/`)) return [cover];
  return [
    ['mkdir', '/run/project'],
    mount('--bind', ROOT, '/run/project'),
    cover,
    ['mkdir', '--parents', ROOT],
    mount('--bind', '/run/project', ROOT),
  ];
}

/**
 * Of a platform that runs outside nothing stays in it. New accounts have numbers that none outside has: a program there looks for them
 * among all processes.
 */
function ownEtc(): void {
  rmSync('/etc/resolv.conf', { force: true });
  writeFileSync('/etc/resolv.conf', `nameserver ${NAME_SERVER}\n`);
  for (const name of namesIn('/etc').filter((entry) => entry.includes('cupola')))
    rmSync(join('/etc', name), { recursive: true });
  for (const unit of namesIn('/etc/systemd/system').filter((name) => name.startsWith('cupola')))
    rmSync(join('/etc/systemd/system', unit));
  for (const file of ['/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow']) {
    if (!existsSync(file)) continue;
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, lines.filter((line) => !line.startsWith('cupola-')).join('\n'));
  }
  appendFileSync('/etc/login.defs', ['', ...NUMBERS, ''].join('\n'));
}

/** As they were mounted, each with the groups of this process as its root. */
function mountControlGroups(hierarchies: readonly Hierarchy[]): Command[] {
  const [first] = hierarchies;
  if (!first) return [];
  const above = mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', GROUPS);
  const mounts = hierarchies.flatMap(({ point, type, options }) => [
    ['mkdir', '--parents', point],
    mount('-t', type, ...(type === 'cgroup' ? ['-o', options] : []), type, point),
  ]);
  return first.point === GROUPS ? mounts : [above, ...mounts];
}

/** In version 2 a group gives controllers to those below it only while no process is in it. */
function giveControllers(root: string): void {
  const own = join(root, 'tests');
  mkdirSync(own);
  for (const pid of readFileSync(join(root, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
    writeFileSync(join(own, 'cgroup.procs'), pid);
  const controllers = readFileSync(join(root, 'cgroup.controllers'), 'utf8').trim().split(' ').filter(Boolean);
  writeFileSync(join(root, 'cgroup.subtree_control'), controllers.map((name) => `+${name}`).join(' '));
}

async function wayOut(): Promise<void> {
  for (const deadline = Date.now() + MOST_WAITING_MS; Date.now() < deadline; await pause(20)) {
    const routes = readFileSync('/proc/net/route', 'utf8').split('\n');
    if (routes.some((route) => route.startsWith(`${OUTSIDE}\t${EVERYWHERE}\t`))) return;
  }
  throw new CupolaError('no_way_out', `no ${OUTSIDE} came within ${MOST_WAITING_MS / 1000} s`);
}

function mount(...args: string[]): Command {
  return ['mount', ...args];
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Runs the command; gives its exit code, or 1 where it left something on the machine that was not there before. */
async function runHere(command: string, args: readonly string[], temporary: string): Promise<number> {
  const before = await machineState();
  const env = { ...process.env, [OUTER_TEMPORARY]: temporary };
  const child = spawn(command, args, { stdio: 'inherit', env });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, 'exit')) as [number | null];
  const left = leftovers(before, await machineState());
  for (const one of left) console.log(`${LEFT}${one}`);
  return code === 0 && left.length > 0 ? 1 : (code ?? 1);
}

/** `args`: the directory that becomes /tmp, and the command with its own. Ends the process as the command ends. */
export async function runInside(args: readonly string[]): Promise<never> {
  const [temporary, command, ...words] = args;
  if (temporary === undefined || command === undefined) throw new CupolaError('no_command', 'which command?');
  await prepare(temporary);
  process.exit(await runHere(command, words, temporary));
}
