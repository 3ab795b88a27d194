/** A change of the code that a test must notice. */
export interface Mutation {
  /** The title of the test that fails with it, or the beginning of the title. */
  breaks: string;
  /** The test's file, from the project's root. */
  test: string;
  /** The file that is changed, and the text in it, which stands there once. */
  file: string;
  from: string;
  to: string;
}

/** The title of a test, the file under `src/` that is changed, the text there, and what takes its place. */
export type Change = readonly [breaks: string, file: string, from: string, to: string];

/** Changes that the tests of one file must notice. */
export function noticedBy(test: string, changes: readonly Change[]): Mutation[] {
  return changes.map(([breaks, file, from, to]) => ({ breaks, test, file: `src/${file}`, from, to }));
}
