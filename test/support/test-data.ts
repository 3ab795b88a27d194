import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { OUTER_TEMPORARY } from '../../src/cli/lanes/inside.ts';

/** A data directory for a platform of a test: where a stack that lies built can be linked to, which it cannot be into /tmp of a lane. */
export function makeTestData(): string {
  return mkdtempSync(join(process.env[OUTER_TEMPORARY] ?? '/tmp', 'cupola-e2e-data-'));
}
