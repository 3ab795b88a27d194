import { existsSync, readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { checkedJson } from '../../kit/checked.ts';
import type { BundledTests } from './bundled-tests.ts';

/* Of the errors of one test in a summary. */
const MOST_CHARACTERS = 4000;
const MOST_LINES = 30;

/** What Node's test runner says of a file when it is done with it. */
const Ended = Type.Object({
  /** Its whole path, of what ran or of its source. */
  file: Type.String(),
  seconds: Type.Number(),
  passed: Type.Boolean(),
});
/** Of a test that was skipped, the title with the reason, where one is given. */
const Skipped = Type.Object({ file: Type.String(), skipped: Type.String() });
/** The title of a test that failed, or of a hook, with its errors from the outermost to their cause: none where a test within it failed. */
const Failed = Type.Object({ file: Type.String(), failed: Type.String(), errors: Type.Array(Type.String()) });
const Line = Type.Union([Ended, Skipped, Failed]);
export type Line = Static<typeof Line>;

/** A test that failed by itself, or a hook. */
export type FailedTest = Pick<Static<typeof Failed>, 'failed' | 'errors'>;

interface FileReport extends Static<typeof Ended> {
  skipped: string[];
  failures: FailedTest[];
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
    const failed = ofFile.flatMap((line) => ('failed' in line ? [{ failed: line.failed, errors: line.errors }] : []));
    const failures = failed.filter(({ errors }) => errors.length > 0);
    return [{ ...ended, passed: ended.passed && failed.length === 0, skipped, failures }];
  });
}

/** What failed and why, in lines for the summary of a run. Of long errors the beginning. */
export function linesOfFailure({ failed, errors }: FailedTest): string[] {
  const text = errors.join('\nbecause of: ').slice(0, MOST_CHARACTERS);
  const lines = text.split('\n').slice(0, MOST_LINES);
  return [failed, ...lines.map((line) => `      ${line}`.trimEnd())];
}
