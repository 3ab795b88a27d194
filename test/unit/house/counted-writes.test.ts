import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isCode, projectFiles } from '../../support/project-files.ts';

/** Who writes what quotas count: functions of these files, and they take a transaction that checks them. */
const WRITERS: Record<string, readonly string[]> = {
  "insertInto('processes')": ['processes/store.ts'],
  "updateTable('processes')": ['processes/store.ts'],
  "insertInto('tasks')": ['tasks/store.ts'],
  "insertInto('builds')": ['builds/store.ts'],
  "insertInto('outgoing_lrps')": ['processes/outgoing.ts'],
  'as Counted': ['quotas/within.ts'],
};

test('SECURITY 30: what counts against a quota is written only where the quota is checked', () => {
  const room = 'src/cloud-controller/';
  const sources = projectFiles().filter((path) => path.startsWith(room) && isCode(path));
  assert.ok(sources.length > 100);
  for (const [writes, allowed] of Object.entries(WRITERS)) {
    const found = sources.filter((path) =>
      readFileSync(path, 'utf8').replaceAll(/\s/g, '').includes(writes.replaceAll(' ', '')),
    );
    assert.deepEqual(
      found.map((path) => path.slice(room.length)),
      allowed,
      writes,
    );
  }
});
