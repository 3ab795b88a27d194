import { mkdtempSync } from 'node:fs';

/** A data directory for a platform of a test. */
export function makeTestData(): string {
  return mkdtempSync('/tmp/cupola-e2e-data-');
}
