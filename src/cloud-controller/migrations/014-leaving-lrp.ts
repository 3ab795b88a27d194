import type { Migration } from '../../kit/database.ts';

/** What a cancelled deployment waits for: the new version's instances, until none of them answers. */
export const leavingLrp: Migration = {
  name: '141-leaving-lrp',
  sql: 'ALTER TABLE deployments ADD COLUMN leaving_lrp_guid text;',
};
