import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { importGraph } from '../../support/import-graph.ts';
import { ROOT } from '../../support/project-files.ts';

const ROOM = 'cloud-controller/';
const SQL = /\bsql[`<]|\.(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\(/;

describe('a resource of the Cloud Controller reads like every other', () => {
  const graph = importGraph();
  const files = [...graph.keys()].filter((file) => file.startsWith(ROOM) && !file.startsWith(`${ROOM}migrations/`));
  const text = (file: string): string => readFileSync(join(ROOT, 'src', file), 'utf8');
  const named = (name: string): string[] =>
    files.filter((file) => basename(file) === `${name}.ts` && dirname(file) !== 'cloud-controller');

  test('operations hold no SQL', () => {
    assert.ok(named('operations').length > 20, `${named('operations').length} files`);
    assert.deepEqual(
      named('operations').filter((file) => SQL.test(text(file))),
      [],
    );
  });

  test('operations declare what they are called on, and ask nobody themselves', () => {
    const asking =
      /operation\(\{|\bauthorize(Each)?\(|visible(Organizations|Spaces)\(|rolesAt(Each)?\(|mayDo\(|checkShareable\(|requireFeature\(/;
    assert.deepEqual(
      named('operations').filter((file) => asking.test(text(file))),
      // Whom a domain is shared to: its refusals name the organization, as in Cloud Foundry.
      ['cloud-controller/domains/operations.ts'],
    );
  });

  test('operations are imported by their own index alone', () => {
    const others = files.filter((file) =>
      graph
        .get(file)!
        .some(
          (target) =>
            basename(target) === 'operations.ts' &&
            target.startsWith(ROOM) &&
            file !== join(dirname(target), 'index.ts'),
        ),
    );
    assert.deepEqual(others, []);
  });

  test('stores know no operation, no call and no view', () => {
    const known = /\/(operations|view|subject|standard|operation|index)\.ts$/;
    const wrong = named('store').flatMap((file) =>
      graph
        .get(file)!
        .filter((target) => target.startsWith(ROOM) && known.test(target))
        .map((target) => `${file}: ${target}`),
    );
    assert.deepEqual(wrong, []);
  });

  test('views say what they hold', () => {
    assert.ok(named('view').length > 15);
    assert.deepEqual(
      files.filter((file) => /View\([^)]*\): Record<string, unknown>/.test(text(file))),
      [],
    );
  });
});
