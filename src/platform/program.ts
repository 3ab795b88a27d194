import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { makeDirectory, replaceFile } from '../kit/owned-files.ts';
import { PROJECT } from '../kit/project.js';

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

/** Node as accounts that cannot walk to the project reach it: the project's own through the place where it is shown. */
export function nodeOf(program: string, execPath = process.execPath): string {
  return execPath.startsWith(`${PROJECT}/`) ? `${program}/${execPath.slice(PROJECT.length + 1)}` : execPath;
}
