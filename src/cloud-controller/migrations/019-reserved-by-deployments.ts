import type { Migration } from '../../kit/database.ts';

/**
 * What a deployment comes to in its course, counted against quotas from its beginning, and what keeps it from going on. What a
 * process runs with where it was resized and goes on as it was.
 */
export const reservedByDeployments: Migration = {
  name: '160-reserved-by-deployments',
  sql: `
ALTER TABLE deployments
  ADD COLUMN reserved_instances bigint NOT NULL DEFAULT 0,
  ADD COLUMN reserved_memory_mb bigint NOT NULL DEFAULT 0,
  ADD COLUMN reserved_log_rate bigint NOT NULL DEFAULT 0,
  ADD COLUMN error text;
ALTER TABLE processes
  ADD COLUMN version_memory_mb integer,
  ADD COLUMN version_log_rate_limit bigint;
`,
};
