import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../kit/process.ts';

/** What an installation, or a test, can leave on a machine: names by kind. */
export type MachineState = Readonly<Record<string, readonly string[]>>;

const GROUPS = '/sys/fs/cgroup';
const VAR_LIB = '/var/lib';
/** Where tests have a machine of their own: what was made on it in /var/lib, which shows also what is there outside, and comes and goes. */
export const MADE_IN_VAR_LIB = '/run/var-lib-own';

/** Of the network of this process and of what stands in the directories everybody uses. What needs a tool that is missing is empty. */
export async function machineState(): Promise<MachineState> {
  return {
    'in /run': namesIn('/run').filter(isOurs),
    'in /run/netns': namesIn('/run/netns'),
    'in /etc': namesIn('/etc').filter(isOurs),
    'in /var/lib': namesIn(VAR_LIB).filter(isOurs).filter(isMadeHere),
    accounts: firstFields('/etc/passwd').filter(isOurs),
    groups: firstFields('/etc/group').filter(isOurs),
    'packet filter tables': await linesOf('nft', ['list', 'tables']),
    links: (await linesOf('ip', ['-o', 'link'])).map((line) => line.split(': ')[1]!.split('@')[0]!),
    addresses: (await linesOf('ip', ['-o', '-4', 'address'])).map((line) => line.split(/\s+/).slice(1, 4).join(' ')),
    'unreachable routes': await linesOf('ip', ['-4', 'route', 'show', 'type', 'unreachable']),
    'control groups': controlGroups().filter(isOurs),
    mounts: mountPoints().filter(isOurs),
    resolver: existsSync('/etc/resolv.conf') ? [readFileSync('/etc/resolv.conf', 'utf8')] : [],
  };
}

/** Begins the line that says of one thing that it was left. */
export const LEFT = 'left on the machine: ';

/** What is there now and was not before, as sentences. */
export function leftovers(before: MachineState, now: MachineState): string[] {
  return Object.entries(now).flatMap(([kind, names]) =>
    names.filter((name) => !before[kind]?.includes(name)).map((name) => `${kind}: ${name.trim()}`),
  );
}

/** Others of the machine come and go too. */
function isOurs(name: string): boolean {
  return /cupola|garden-/.test(name);
}

function isMadeHere(name: string): boolean {
  return !existsSync(MADE_IN_VAR_LIB) || existsSync(join(MADE_IN_VAR_LIB, name));
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function firstFields(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(':')[0]!);
}

async function linesOf(command: string, args: readonly string[]): Promise<string[]> {
  const said = await run(command, args).catch(() => '');
  return said.split('\n').filter((line) => line !== '');
}

/** In the order in which they were mounted. */
export function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
}

/** The highest of each, by controller where there are several hierarchies. */
function controlGroups(): string[] {
  const hierarchies = ['.', ...namesIn(GROUPS)];
  return hierarchies.flatMap((hierarchy) =>
    existsSync(`${GROUPS}/${hierarchy}/cgroup.procs`)
      ? namesIn(`${GROUPS}/${hierarchy}`).map((name) => `${hierarchy}/${name}`)
      : [],
  );
}
