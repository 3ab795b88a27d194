import type { Migration } from '../../kit/database.ts';

/** Since when a version serves beside the one that is to replace it: that has an end. */
export const outgoingSince: Migration = {
  name: '111-outgoing-since',
  sql: 'ALTER TABLE outgoing_lrps ADD COLUMN since timestamptz NOT NULL DEFAULT now();',
};
