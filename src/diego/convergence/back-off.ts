const IMMEDIATE_RESTARTS = 3;
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 16 * 60_000;
/** An instance that ran this long starts its count of crashes anew. */
const WELL_AFTER_MS = 5 * 60_000;

/**
 * What a crash leads to (Diego's restart policy): the first two crashes are followed by a restart at once, the n-th by
 * one after 30 s × 2^(n-3), at most 16 minutes. Unlike Diego it never gives up.
 */
export function afterCrash(
  crash: { state: 'CLAIMED' | 'RUNNING'; sinceMs: number; crashCount: number },
  nowMs: number,
): { crashCount: number; pauseMs: number } {
  const wasWell = crash.state === 'RUNNING' && nowMs - crash.sinceMs >= WELL_AFTER_MS;
  const crashCount = (wasWell ? 0 : crash.crashCount) + 1;
  if (crashCount < IMMEDIATE_RESTARTS) return { crashCount, pauseMs: 0 };
  const exponent = Math.min(crashCount - IMMEDIATE_RESTARTS, 10);
  return { crashCount, pauseMs: Math.min(FIRST_PAUSE_MS * 2 ** exponent, LONGEST_PAUSE_MS) };
}
