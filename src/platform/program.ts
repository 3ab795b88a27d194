import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeDirectory, replaceFile } from '../kit/owned-files.ts';

/** The directory of the code that runs here: the project, or the place under /run where the platform shows it. */
export const PROJECT = resolve(import.meta.dirname, '../..');

/**
 * Where the code that runs here is shown to accounts that cannot walk to it. Each checkout has a place of its own, so that an
 * upgrade can show the new one while processes of the old still run.
 */
export function programMountOf(run: string): string {
  const directory = programsOf(run);
  if (PROJECT.startsWith(`${directory}/`)) return PROJECT;
  const digest = createHash('sha256').update(realpathSync(PROJECT)).digest('hex');
  return `${directory}/${digest.slice(0, 12)}`;
}

/** Below it each checkout that runs has its place. */
export function programsOf(run: string): string {
  return `${run}/programs`;
}

/** The file that `writeSupervisorCommand` writes. */
export function supervisorCommandOf(run: string): string {
  return `${run}/supervisor.command`;
}

/** Held by the supervisor for as long as it lives. */
export function supervisorLockOf(run: string): string {
  return `${run}/supervisor.lock`;
}

/** Which supervisor is started again when one is killed: Node.js, program and data directory, a line each. */
export function writeSupervisorCommand(
  {
    run,
    supervisorCommand: file,
    settings,
  }: Readonly<{ run: string; supervisorCommand: string; settings: { dataDirectory: string } }>,
  node: string,
  main: string,
): void {
  makeDirectory(run, { mode: 0o711 });
  replaceFile(file, `${node}\n${main}\n${settings.dataDirectory}\n`, { mode: 0o600 });
}

/** What the code in a checkout is, whatever its path: two checkouts with the same digest behave the same. */
export function programDigest(project = PROJECT): string {
  const hash = createHash('sha256');
  const files = ['package-lock.json', ...sourceFiles(project)];
  for (const name of files) {
    const path = join(project, name);
    if (existsSync(path)) hash.update(`${name}\0`).update(readFileSync(path)).update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

function sourceFiles(project: string): string[] {
  return readdirSync(join(project, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(project.length + 1))
    .sort();
}

/** Node as accounts that cannot walk to the project reach it: the project's own through the place where it is shown. */
export function nodeOf(program: string, execPath = process.execPath): string {
  return execPath.startsWith(`${PROJECT}/`) ? `${program}/${execPath.slice(PROJECT.length + 1)}` : execPath;
}
