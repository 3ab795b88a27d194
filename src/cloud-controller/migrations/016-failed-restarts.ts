import type { Migration } from '../../kit/database.ts';

/** What an old version is shown as while the one that was to replace it crashes. */
export const failedRestarts: Migration = {
  name: '150-failed-restarts',
  sql: `
ALTER TABLE outgoing_lrps
  ADD COLUMN failed_version text,
  ADD COLUMN memory_mb integer,
  ADD COLUMN disk_mb integer,
  ADD COLUMN log_rate_limit bigint,
  ADD COLUMN droplet_guid text,
  ADD COLUMN revision_guid text;
`,
};
