import type { Static, TSchema } from 'typebox';
import Type from 'typebox';
import { CupolaError } from '../kit/errors.ts';
import type { DrainRequest, RotateRequest, UpgradeRequest } from './admin-messages.ts';
import { CellStatus, Leaving, PlatformStatus, Rotated } from './admin-messages.ts';
import { askAdmin } from './admin-socket.ts';
import type { Layout } from './layout.ts';

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
export function askSupervisor<Name extends Operation>(
  layout: Layout,
  operation: Name,
  ...[body]: Name extends keyof Bodies ? [Bodies[Name]] : []
): Promise<Static<(typeof ANSWERS)[Name]>> {
  return askAdmin(layout.supervisorSocket, operation, { body, answer: ANSWERS[operation], timeoutMs: LIMIT_MS });
}

/** Whether a supervisor answers, whatever its version. */
export async function supervisorAnswers(layout: Layout): Promise<boolean> {
  try {
    await askAdmin(layout.supervisorSocket, 'GET /status', { timeoutMs: LIMIT_MS });
    return true;
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'not_running') return false;
    throw error;
  }
}
