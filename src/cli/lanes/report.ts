import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import Type, { type Static } from 'typebox';
import { checkedJson } from '../../kit/checked.ts';
import type { BundledTests } from './bundled-tests.ts';

/** For `--test-reporter`. */
export const REPORTER = import.meta.filename;

/** What Node's test runner says of a file when it is done with it. */
const Ended = Type.Object({
  /** Its whole path, of what ran or of its source. */
  file: Type.String(),
  seconds: Type.Number(),
  passed: Type.Boolean(),
});
/** Of a test that was skipped, the title with the reason, where one is given. */
const Skipped = Type.Object({ file: Type.String(), skipped: Type.String() });
/** The title of a test that failed, or of a hook. */
const Failed = Type.Object({ file: Type.String(), failed: Type.String() });
const Line = Type.Union([Ended, Skipped, Failed]);
type Line = Static<typeof Line>;

interface FileReport extends Static<typeof Ended> {
  skipped: string[];
}

/**
 * A reporter of Node's test runner, where each file runs in a process of its own: a line of JSON for each file as it ends, and one for each
 * test that was skipped or failed. Of files that run at once the runner tells the end at once, and the tests when those of files before it
 * are told.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const line = (said: Line): string => `${JSON.stringify(said)}\n`;
  for await (const { type, data } of events) {
    if (type !== 'test:fail' && type !== 'test:pass' && type !== 'test:complete') continue;
    const { file, name } = data;
    if (file === undefined) continue;
    if (type === 'test:fail') yield line({ file, failed: name });
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

/** Of all files that the runner was done with, as the reporter wrote them; each is named as it is below the project. */
export function reportsIn(path: string, tests: Pick<BundledTests, 'fileAt'>): FileReport[] {
  if (!existsSync(path)) return [];
  const texts = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const lines = texts.map((text) => {
    const line = checkedJson(Line, text, { code: 'tests_failed', what: path });
    return { ...line, file: tests.fileAt(line.file) };
  });
  return lines.flatMap((ended) => {
    if (!('passed' in ended)) return [];
    const ofFile = lines.filter(({ file }) => file === ended.file);
    const skipped = ofFile.flatMap((line) => ('skipped' in line ? [line.skipped] : []));
    return [{ ...ended, passed: ended.passed && !ofFile.some((line) => 'failed' in line), skipped }];
  });
}
