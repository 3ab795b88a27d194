import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { circlesIn, codeBelow, graphOf, importGraph } from '../../support/import-graph.ts';

describe('what imports what', () => {
  const graph = importGraph();

  test('circles are found', () => {
    const edges = { a: ['b'], b: ['c'], c: ['a', 'd'], d: ['e'], e: [], f: ['g'], g: ['f'] };
    assert.deepEqual(circlesIn(new Map(Object.entries(edges))), [
      ['a', 'b', 'c'],
      ['f', 'g'],
    ]);
  });

  test('a circle of files is found, whatever kind of import closes it', () => {
    const files = {
      'src/a.ts': "import { b } from './room/b.ts';",
      'src/room/b.ts': "import type { C } from '../../test/c.ts';",
      'test/c.ts': "const a = await import('../src/a.ts');",
      'bench/d.ts': "import { a } from '../src/a.ts';",
    };
    assert.deepEqual(circlesIn(graphOf(files)), [['src/a.ts', 'src/room/b.ts', 'test/c.ts']]);
  });

  test('no file leads back to itself', () => {
    const whole = graphOf(codeBelow('src', 'test', 'bench'));
    assert.ok(whole.size > 900, `${whole.size} files`);
    assert.deepEqual(circlesIn(whole), []);
  });

  test('no two resources of the Cloud Controller import each other', () => {
    const folders = new Map<string, Set<string>>();
    for (const [file, targets] of graph) {
      const from = dirname(file);
      if (!from.startsWith('cloud-controller/')) continue;
      const to = targets.map(dirname).filter((folder) => folder !== from && folder.startsWith('cloud-controller/'));
      folders.set(from, new Set([...(folders.get(from) ?? []), ...to]));
    }
    assert.ok(folders.size > 25, `${folders.size} folders`);
    const pairs = [...folders].flatMap(([from, to]) =>
      [...to].filter((folder) => from < folder && folders.get(folder)?.has(from)).map((folder) => `${from} ${folder}`),
    );
    assert.deepEqual(pairs, []);
  });
});
