import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { closeOnExec } from '../../kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import type { Layout } from '../../platform/layout.ts';
import { lastErrorIn } from '../../platform/log-files.ts';
import { writeSupervisorCommand } from '../../platform/program.ts';
import { supervisorProcess } from '../../platform/supervisor-client.ts';
import type { Progress } from '../progress.ts';
import { statusSoFar } from '../stopping.ts';
import { isBehind, isCarrying } from './carrying.ts';

const READY_LIMIT_MS = 120_000;

/** Starts the supervisor unless it runs, and returns once the platform is ready. Throws `supervisor_ended`, `not_ready`. */
export async function startAndWait(options: { project: string; layout: Layout; progress: Progress }): Promise<void> {
  const { project, layout, progress } = options;
  progress.step('Starting the supervisor');
  const began = new Date();
  const hasEnded = (await statusSoFar(layout)) ? () => false : startSupervisor(layout, process.execPath, project);
  progress.step('Waiting for every component');
  let deadline = Date.now() + READY_LIMIT_MS;
  let last: PlatformStatus | null = null;
  let wasBehind = false;
  for (;;) {
    last = (await statusSoFar(layout)) ?? last;
    if (last && isBehind(last)) wasBehind = true;
    if (last?.ready && !isBehind(last) && !(wasBehind && last.update.running)) break;
    if (last && isCarrying(last)) deadline = Date.now() + READY_LIMIT_MS;
    // One that was killed just before may have been started again, and have its place: then that one is waited for.
    if (hasEnded() && !supervisorProcess(layout)) throw supervisorEnded(layout, began);
    if (Date.now() > deadline) {
      throw new CupolaError(
        'not_ready',
        `not ready after two minutes, waiting for ${waitingFor(last)}; see ${logFileOf(layout)}`,
      );
    }
    if (last) progress.detail(`Waiting for ${waitingFor(last)}`);
    await pause(200);
  }
  if (last.update.problem !== null)
    process.stderr.write(`the update stopped: ${last.update.problem}; ./cupola upgrade tries again\n`);
  progress.step('The API answers');
  progress.done();
}

function supervisorEnded(layout: Layout, began: Date): CupolaError {
  const file = logFileOf(layout);
  const why = lastErrorIn(file, began);
  return new CupolaError('supervisor_ended', `the supervisor ended${why ? ` (${why})` : ''}; its log is ${file}`);
}

/** The supervisor's program in a checkout. */
export function supervisorMain(project: string): string {
  return join(project, 'src/platform/supervisor-main.ts');
}

/** Where the supervisor's log lies. */
export function logFileOf(layout: Layout): string {
  return join(layout.logs, 'supervisor.log');
}

/**
 * Starts a supervisor that was killed anew, where no service manager does it; one that ends by itself (told to, or because it cannot
 * start) stays ended. Which one it is stands in a file, since an upgrade changes it.
 */
const GUARD = `ulimit -c 0
while { read -r node; read -r main; read -r data; } <"$1"; do
  "$node" "$main" "$data"
  code=$?
  [ "$code" -gt 128 ] || exit "$code"
  sleep 0.1
done`;

/** Starts a checkout's supervisor on that Node.js. It outlives this process. Gives whether it ended already. */
export function startSupervisor(layout: Layout, node: string, project: string): () => boolean {
  const output = openSync(logFileOf(layout), 'a', 0o600);
  try {
    writeSupervisorCommand(layout, node, supervisorMain(project));
    closeOnExec();
    const child = spawn('/bin/sh', ['-c', GUARD, 'cupola-supervisor', layout.supervisorCommand], {
      detached: true,
      stdio: ['ignore', output, output],
      env: PLAIN_ENVIRONMENT,
      cwd: '/',
    });
    let ended = false;
    child.on('error', () => {
      ended = true;
    });
    child.on('exit', () => {
      ended = true;
    });
    child.unref();
    return () => ended;
  } finally {
    closeSync(output);
  }
}

function waitingFor(status: PlatformStatus | null): string {
  if (!status) return 'the supervisor';
  if (isCarrying(status)) return "PostgreSQL's data, which are carried over to its next version";
  const names = status.components.filter((component) => component.state !== 'running').map(({ name }) => name);
  return names.length > 0 ? names.join(', ') : 'the API';
}
