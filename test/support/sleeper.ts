import { spawn } from 'node:child_process';
import { identify, type ProcessIdentity, signal } from '../../src/kit/process.ts';

const started: ProcessIdentity[] = [];

/** A process that does nothing, until `endSleepers`. */
export async function sleeper(): Promise<ProcessIdentity> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
  await new Promise((resolve) => child.once('spawn', resolve));
  child.unref();
  const identity = identify(child.pid!)!;
  started.push(identity);
  return identity;
}

export function endSleepers(): void {
  for (const identity of started.splice(0)) signal(identity, 'SIGKILL');
}
