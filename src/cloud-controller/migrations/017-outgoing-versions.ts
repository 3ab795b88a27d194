import type { Migration } from '../../kit/database.ts';

/** An outgoing LRP is looked for by its version, the guid it is shown with. */
export const outgoingVersions: Migration = {
  name: '153-outgoing-versions',
  sql: 'CREATE INDEX outgoing_lrps_version ON outgoing_lrps (right(lrp_guid, 36));',
};
