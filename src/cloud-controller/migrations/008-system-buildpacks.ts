import type { Migration } from '../../kit/database.ts';

/** What a restart must know of the platform's own buildpacks, whatever an operator did with them since. */
export const systemBuildpacks: Migration = {
  name: '111-system-buildpacks',
  sql: `
CREATE TABLE system_buildpacks (
  name text PRIMARY KEY,
  sha256 text NOT NULL
);`,
};
