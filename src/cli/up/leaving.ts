import { setTimeout as pause } from 'node:timers/promises';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import type { Layout } from '../../platform/layout.ts';
import { supervisorProcess } from '../../platform/supervisor-client.ts';
import { killForGood, statusOrNull } from '../stopping.ts';

const LIMIT_MS = 120_000;

/**
 * What the supervisor tells that stays; null where none is there. One that ends, as after a `down` that was interrupted, is waited for,
 * and killed where it does not go in two minutes; so is one that is about to answer. What started that one starts none any more, and
 * what it left goes on. Throws `no_answer`, `invalid_answer`.
 */
export async function stayingSupervisor(
  layout: Layout,
  tell: (text: string) => void,
  limitMs = LIMIT_MS,
): Promise<PlatformStatus | null> {
  let told = false;
  for (let deadline = Date.now() + limitMs; ; await pause(100)) {
    const status = await statusOrNull(layout);
    if (status ? !status.leaving : supervisorProcess(layout) === null) return status;
    if (!told) tell(status ? 'Waiting for the supervisor to end' : 'Waiting for the supervisor to answer or end');
    told = true;
    if (Date.now() < deadline) continue;
    await killForGood(layout, 'up');
    deadline = Date.now() + limitMs;
  }
}
