import { run } from '../../kit/process.ts';

const LIMIT_MS = 10 * 60_000;

/** Runs a program over a whole runtime: a slow machine with several at once takes minutes for what takes seconds. Throws as `run`. */
export function tool(command: string, args: readonly string[]): Promise<string> {
  return run(command, args, { timeoutMs: LIMIT_MS });
}
