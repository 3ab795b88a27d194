import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode, projectFiles, ROOT } from '../../support/project-files.ts';

test('SECURITY 25: connections to a database are made in one place, which gives out none that does not count what is read', () => {
  const sources = projectFiles().filter((path) => path.startsWith('src/') && isCode(path));
  const opening = sources.filter((path) =>
    /new (pg\.)?(Pool|Client|Kysely)\b/.test(readFileSync(join(ROOT, path), 'utf8')),
  );
  assert.deepEqual(opening, ['src/kit/database.ts']);
  const database = readFileSync(join(ROOT, 'src/kit/database.ts'), 'utf8');
  assert.match(database, /pool: new SharedPool\(/);
  const shares = readFileSync(join(ROOT, 'src/kit/database-shares.ts'), 'utf8');
  assert.match(shares, /connect\(\): Promise<PostgresPoolClient> \{\s+return new CountedClient\(/);
});
