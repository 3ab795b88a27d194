import type { Migration } from '../../kit/database.ts';

/** By what the jobs of each caller are found in the order of their making, and the next caller after one. */
export const jobsByCaller: Migration = {
  name: '161-jobs-by-caller',
  sql: `
CREATE INDEX jobs_unfinished_by_caller ON jobs ((actor ->> 'guid'), id) WHERE state = 'PROCESSING';
DROP INDEX jobs_unfinished_of;
`,
};
