import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import Type, { type Static } from 'typebox';
import { checkedJson } from '../../kit/checked.ts';

/** For `--test-reporter`. */
export const REPORTER = import.meta.filename;

/** What Node's test runner says of a file when it is done with it. */
const FileReport = Type.Object({
  /** Its whole path. */
  file: Type.String(),
  seconds: Type.Number(),
  passed: Type.Boolean(),
  /** Titles with the reason, where one is given. */
  skipped: Type.Array(Type.String()),
});
type FileReport = Static<typeof FileReport>;

/** A reporter of Node's test runner: a line of JSON for each file as it ends, where each runs in a process of its own. */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failed = new Set<string>();
  const skipped = new Map<string, string[]>();
  for await (const { type, data } of events) {
    if (type !== 'test:fail' && type !== 'test:pass' && type !== 'test:complete') continue;
    const { file, name } = data;
    if (file === undefined) continue;
    if (type === 'test:fail') failed.add(file);
    if (type === 'test:pass' && data.skip !== undefined) {
      const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
      skipped.set(file, [...(skipped.get(file) ?? []), `${name}${reason}`]);
    }
    // The file itself is complete after all that is in it.
    if (type !== 'test:complete' || data.nesting > 0 || resolve(name) !== file) continue;
    const { passed, duration_ms: milliseconds } = data.details;
    const ended: FileReport = {
      file,
      seconds: Math.round(milliseconds / 1000),
      passed: passed === true && !failed.has(file),
      skipped: skipped.get(file) ?? [],
    };
    yield `${JSON.stringify(ended)}\n`;
  }
}

/** Of all files that the runner was done with, as the reporter wrote them. */
export function reportsIn(path: string): FileReport[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => checkedJson(FileReport, line, { code: 'tests_failed', what: path }));
}
