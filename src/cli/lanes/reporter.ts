import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import type { Line } from './report.ts';

/* Each machine's test runner loads it: it imports nothing that takes long. */

const MOST_CAUSES = 5;

/** For `--test-reporter`. */
export const REPORTER = import.meta.filename;

/**
 * A reporter of Node's test runner, where each file runs in a process of its own: a line of JSON for each file as it ends, and one for each
 * test that was skipped or failed, with why. Of files that run at once the runner tells the end at once, and the tests when those of files before it
 * are told.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const line = (said: Line): string => `${JSON.stringify(said)}\n`;
  for await (const { type, data } of events) {
    if (type !== 'test:fail' && type !== 'test:pass' && type !== 'test:complete') continue;
    const { file, name } = data;
    if (file === undefined) continue;
    if (type === 'test:fail') yield line({ file, failed: name, errors: errorsOf(data.details.error) });
    if (type === 'test:pass' && data.skip !== undefined) {
      const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
      yield line({ file, skipped: `${name}${reason}` });
    }
    // The file itself is complete after all that is in it.
    if (type !== 'test:complete' || data.nesting > 0 || resolve(name) !== file) continue;
    const { passed, duration_ms: milliseconds } = data.details;
    yield line({ file, seconds: Math.round(milliseconds / 1000), passed: passed === true });
  }
}

/** `outer` is the runner's own error, of which the test's is the cause. None where a test within it failed, else at least one. */
function errorsOf(outer: Extract<TestEvent, { type: 'test:fail' }>['data']['details']['error']): string[] {
  if ('failureType' in outer && outer.failureType === 'subtestsFailed') return [];
  const errors: string[] = [];
  let error: unknown = outer.cause ?? outer.message;
  do {
    // Anything may be thrown.
    const { message, cause }: { message?: unknown; cause?: unknown } =
      error instanceof Object ? error : { message: error };
    errors.push(typeof message === 'string' && message !== '' ? message : inspect(error));
    error = cause;
  } while (error && errors.length < MOST_CAUSES);
  return errors;
}
