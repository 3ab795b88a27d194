import type { Migration } from '../../kit/database.ts';

const COUNTED = ['organizations', 'spaces', 'apps', 'routes'] as const;

const countsRows = (table: string) => `
CREATE TRIGGER ${table}_inserted AFTER INSERT ON ${table} REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER ${table}_deleted AFTER DELETE ON ${table} REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER ${table}_truncated AFTER TRUNCATE ON ${table}
  FOR EACH STATEMENT EXECUTE FUNCTION count_no_rows();
INSERT INTO row_counts (table_name, rows) SELECT '${table}', count(*) FROM ${table};`;

/**
 * PostgreSQL counts by reading all; how many rows the largest lists have is known without. It is the sum of a table's entries,
 * and exact in each snapshot:
 * - A change is added to an entry by the transaction that makes it. Both are seen from its commit on, and both are gone where it,
 *   or a part of it, is taken back.
 * - Nobody waits: of the entries, one that no other transaction has changed and not yet committed is taken, and locked; where all
 *   are in such hands, another is made. So there are never more than there were transactions at once. Which entry a change
 *   is added to does not matter to the sum.
 * - An entry is found by one statement and changed by the next, which reads it as it was last committed: no other can change it in
 *   between, as it is locked. (In a transaction of the level "repeatable read" the lock fails where the entry was changed since
 *   its snapshot, as a change of any other row would; nothing that writes has that level.)
 * - TRUNCATE locks the table until it is committed, so no other transaction holds an entry of it.
 */
export const counts: Migration = {
  name: '162-counts',
  sql: `
CREATE TABLE row_counts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text NOT NULL,
  rows bigint NOT NULL
);

CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  change bigint := (SELECT CASE TG_OP WHEN 'DELETE' THEN -count(*) ELSE count(*) END FROM changed);
  entry bigint;
BEGIN
  IF change = 0 THEN RETURN NULL; END IF;
  SELECT id INTO entry FROM row_counts WHERE table_name = TG_TABLE_NAME LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF entry IS NULL THEN
    INSERT INTO row_counts (table_name, rows) VALUES (TG_TABLE_NAME, change);
  ELSE
    UPDATE row_counts SET rows = rows + change WHERE id = entry;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION count_no_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM row_counts WHERE table_name = TG_TABLE_NAME;
  RETURN NULL;
END $$;
${COUNTED.map(countsRows).join('')}
`,
};
