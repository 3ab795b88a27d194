import { globSync } from 'node:fs';
import { relative, resolve } from 'node:path';

/** Which files of tests there are, by the word that asks for them. */
export const SUITES = {
  unit: 'test/unit/**/*.test.ts',
  integration: 'test/integration/**/*.test.ts',
  'end-to-end': 'test/e2e/**/*.test.ts',
  long: 'test/long/**/*.test.ts',
} as const;

/** What a change must pass: the rest takes long, and runs before a release. */
export const OF_EVERY_CHANGE: readonly (keyof typeof SUITES)[] = ['unit', 'integration', 'end-to-end'];

/** The files of tests that words ask for, below `root`: each is a suite, a file, or a directory. `unknown`: what asks for none. */
export function filesOf(words: readonly string[], root: string): { files: string[]; unknown: string[] } {
  const suites = Object.entries(SUITES).map(
    ([name, pattern]) => [name, globSync(pattern, { cwd: root }).sort()] as const,
  );
  const found = words.map((word) => {
    const suite = suites.find(([name]) => name === word);
    if (suite) return suite[1];
    const path = relative(root, resolve(word));
    return suites.flatMap(([, files]) => files.filter((file) => path === '' || `${file}/`.startsWith(`${path}/`)));
  });
  return { files: [...new Set(found.flat())], unknown: words.filter((_, index) => found[index]!.length === 0) };
}
