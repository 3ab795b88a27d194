import { existsSync, readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { checkedJson } from '../../kit/checked.ts';
import type { BundledTests } from './bundled-tests.ts';

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
export type Line = Static<typeof Line>;

interface FileReport extends Static<typeof Ended> {
  skipped: string[];
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
