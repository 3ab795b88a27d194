import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerProcess } from '../garden/garden.ts';

/** After SIGKILL only the kernel is waited for. */
const KILL_MS = 2_000;

/** SIGTERM, `graceMs` to finish, SIGKILL. */
export async function endProcess(process: ContainerProcess, graceMs: number): Promise<void> {
  await process.signal('SIGTERM').catch(() => {}); // it may have ended by itself
  if (await endsWithin(process, graceMs)) return;
  await process.signal('SIGKILL').catch(() => {});
  await endsWithin(process, KILL_MS);
}

async function endsWithin(process: ContainerProcess, milliseconds: number): Promise<boolean> {
  const over = new AbortController();
  const late = delay(milliseconds, false, { signal: over.signal }).catch(() => false);
  const ended = await Promise.race([process.exit.then(() => true), late]);
  over.abort();
  return ended;
}
