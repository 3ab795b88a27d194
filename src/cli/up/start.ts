import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import type { Layout } from '../../platform/settings.ts';
import type { PlatformStatus } from '../../platform/supervisor-client.ts';
import { statusOrNull } from '../commands/down.ts';
import type { Progress } from '../progress.ts';

const READY_LIMIT_MS = 120_000;

/** Starts the supervisor unless it runs, and returns once the platform is ready. Throws `supervisor_ended`, `not_ready`. */
export async function startAndWait(options: { project: string; layout: Layout; progress: Progress }): Promise<void> {
  const { project, layout, progress } = options;
  const logFile = join(layout.logs, 'supervisor.log');
  progress.step('Starting the supervisor');
  const hasEnded = (await statusOrNull(layout)) ? () => false : startSupervisor(project, layout, logFile);
  progress.step('Waiting for every component');
  const deadline = Date.now() + READY_LIMIT_MS;
  let last: PlatformStatus | null = null;
  for (;;) {
    last = (await statusOrNull(layout)) ?? last;
    if (last?.ready) break;
    if (hasEnded()) throw new CupolaError('supervisor_ended', `the supervisor ended; its log is ${logFile}`);
    if (Date.now() > deadline) {
      throw new CupolaError(
        'not_ready',
        `not ready after two minutes, waiting for ${waitingFor(last)}; see ${logFile}`,
      );
    }
    if (last) progress.detail(`Waiting for ${waitingFor(last)}`);
    await pause(200);
  }
  progress.step('The API answers');
  progress.done();
}

/**
 * Starts a supervisor that was killed anew, where no service manager does it; one that ends by itself (told to, or because it cannot
 * start) stays ended.
 */
const GUARD = 'until "$@"; do code=$?; [ "$code" -gt 128 ] || exit "$code"; sleep 0.1; done';

/** It outlives this process. Gives whether it ended already. */
function startSupervisor(project: string, layout: Layout, logFile: string): () => boolean {
  const output = openSync(logFile, 'a', 0o600);
  try {
    const program = join(project, 'src/platform/supervisor-main.ts');
    const command = [process.execPath, program, layout.settings.dataDirectory];
    const child = spawn('/bin/sh', ['-c', GUARD, 'cupola-supervisor', ...command], {
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
  const names = status.components.filter((component) => component.state !== 'running').map(({ name }) => name);
  return names.length > 0 ? names.join(', ') : 'the API';
}
