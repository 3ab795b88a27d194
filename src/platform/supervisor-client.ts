import type { Static, TSchema } from 'typebox';
import Type from 'typebox';
import { CupolaError, codeOf } from '../kit/errors.ts';
import type { DrainRequest, RotateRequest, UpgradeRequest } from './admin-messages.ts';
import { CellStatus, Leaving, PlatformStatus, Rotated } from './admin-messages.ts';
import { askAdmin } from './admin-socket.ts';
import type { Layout } from './layout.ts';
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

const LIMIT_MS = 300_000;

/**
 * Asks the supervisor of this installation. Throws `not_running` where none answers, `invalid_answer` where one of another version
 * answers otherwise than this code knows, and what it says where it fails.
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
      timeoutMs: LIMIT_MS,
    });
  } catch (error) {
    throw isNotRunning(error) ? notRunning(layout, error.cause) : error;
  }
}

function isNotRunning(error: unknown): error is CupolaError {
  return error instanceof CupolaError && error.code === 'not_running';
}

/** What to do about it. That there is no socket, or nobody at it, is what that means, and no cause of it. */
function notRunning({ settings }: Layout, cause: unknown): CupolaError {
  const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(codeOf(cause) ?? '');
  const message = `the platform does not run; ${commandFor('up', settings)} starts it`;
  return new CupolaError('not_running', message, isAbsent ? {} : { cause });
}

/** Whether a supervisor answers, whatever its version. */
export async function supervisorAnswers(layout: Layout): Promise<boolean> {
  try {
    await askAdmin(layout.supervisorSocket, 'GET /status', { timeoutMs: LIMIT_MS });
    return true;
  } catch (error) {
    if (isNotRunning(error)) return false;
    throw error;
  }
}
