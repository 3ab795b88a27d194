import type { Migration } from '../../kit/database.ts';

/** What stands for the rules of a group where what runs is compared: worked out once and not for each app. */
export const rulesHash: Migration = {
  name: '163-rules-hash',
  sql: 'ALTER TABLE security_groups ADD COLUMN rules_hash text GENERATED ALWAYS AS (md5(rules::text)) STORED;',
};
