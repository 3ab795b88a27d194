import type { Static, TSchema } from 'typebox';
import Type from 'typebox';
import { CupolaError, codeOf } from '../kit/errors.ts';
import { holderOf } from '../kit/lock.ts';
import type { ProcessIdentity } from '../kit/process.ts';
import type { DrainRequest, RotateRequest, UpgradeRequest } from './admin-messages.ts';
import { CellStatus, Leaving, PlatformStatus, Rotated } from './admin-messages.ts';
import { askAdmin } from './admin-socket.ts';
import type { Layout } from './layout.ts';
import { supervisorLockOf } from './program.ts';
import { commandFor } from './settings/data-option.ts';

/** What is sent to the supervisor, by operation; nothing with those that are not here. */
interface Bodies {
  'POST /drain': Static<typeof DrainRequest>;
  'POST /rotate': Static<typeof RotateRequest>;
  'POST /upgrade': Static<typeof UpgradeRequest>;
}

/** What it answers. */
const ANSWERS = {
  'GET /status': PlatformStatus,
  'GET /cells': Type.Array(CellStatus),
  'POST /drain': Type.Unknown(),
  'POST /down': Leaving,
  'POST /leave': Leaving,
  'POST /rotate': Rotated,
  'POST /upgrade': Leaving,
} satisfies Record<string, TSchema>;
type Operation = keyof typeof ANSWERS;

/** What it asks others for an answer, it asks for three seconds. */
const QUICK_MS = 10_000;
const LONG_MS = 300_000;
const LIMITS_MS: Readonly<Record<Operation, number>> = {
  'GET /status': QUICK_MS,
  'GET /cells': QUICK_MS,
  'POST /drain': QUICK_MS,
  'POST /down': 120_000,
  'POST /leave': LONG_MS,
  'POST /rotate': LONG_MS,
  'POST /upgrade': LONG_MS,
};

/**
 * Asks the supervisor of this installation. Throws `not_running` where none is there, `no_answer` where it does not answer in time,
 * `invalid_answer` where one of another version answers otherwise than this code knows, and what it says where it fails.
 */
export async function askSupervisor<Name extends Operation>(
  layout: Layout,
  operation: Name,
  ...[body]: Name extends keyof Bodies ? [Bodies[Name]] : []
): Promise<Static<(typeof ANSWERS)[Name]>> {
  try {
    return await askAdmin(layout.supervisorSocket, operation, {
      body,
      answer: ANSWERS[operation],
      timeoutMs: LIMITS_MS[operation],
    });
  } catch (error) {
    if (isNotRunning(error)) throw notRunning(layout, error.cause);
    throw isSilence(error) ? noAnswer(layout, error) : error;
  }
}

/** The process that is the supervisor, from before it answers until it has ended; null where none is there. */
export function supervisorProcess({ run }: Pick<Layout, 'run'>): ProcessIdentity | null {
  return holderOf(supervisorLockOf(run));
}

function isNotRunning(error: unknown): error is CupolaError {
  return error instanceof CupolaError && error.code === 'not_running';
}

/** Whether it is there and did not answer in time: nor did it answer that another one gave it none. */
export function isSilence(error: unknown): error is CupolaError {
  return error instanceof CupolaError && error.code === 'no_answer' && error.fields.operation !== undefined;
}

function noAnswer(layout: Layout, { message, fields }: CupolaError): CupolaError {
  const { settings } = layout;
  const pid = supervisorProcess(layout)?.pid;
  const who = pid === undefined ? 'the supervisor' : `the supervisor (process ${pid})`;
  const advice = `${commandFor('down', settings)} ends it and all that runs, ${commandFor('up', settings)} starts the platform again`;
  return new CupolaError('no_answer', `${who} gave ${message}; ${advice}`, { fields });
}

/** What to do about it. That there is no socket, or nobody at it, is what that means, and no cause of it. */
function notRunning({ settings }: Layout, cause: unknown): CupolaError {
  const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(codeOf(cause) ?? '');
  const message = `the platform does not run; ${commandFor('up', settings)} starts it`;
  return new CupolaError('not_running', message, isAbsent ? {} : { cause });
}

/** Whether a supervisor answers, whatever its version. Throws `no_answer` where it does not in time. */
export async function supervisorAnswers(layout: Layout): Promise<boolean> {
  try {
    await askAdmin(layout.supervisorSocket, 'GET /status', { timeoutMs: QUICK_MS });
    return true;
  } catch (error) {
    if (isNotRunning(error)) return false;
    if (isSilence(error)) throw noAnswer(layout, error);
    throw error;
  }
}
