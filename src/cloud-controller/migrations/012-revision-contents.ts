import type { Migration } from '../../kit/database.ts';

/** What an app was started with: its variables, sealed as the app's own are, and its processes' commands by type. */
export const revisionContents: Migration = {
  name: '140-revision-contents',
  sql: `
ALTER TABLE revisions
  ADD COLUMN env_key_label text,
  ADD COLUMN env_data bytea,
  ADD COLUMN commands jsonb NOT NULL DEFAULT '{}';
`,
};
