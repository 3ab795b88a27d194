import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../../../src/kit/checked.ts';
import { ROOT } from '../../support/project-files.ts';

const Dependencies = Type.Optional(Type.Record(Type.String(), Type.String()));
const Package = Type.Object({
  version: Type.Optional(Type.String()),
  dependencies: Dependencies,
  devDependencies: Dependencies,
  optionalDependencies: Dependencies,
});
const LockFile = Type.Object({ packages: Type.Record(Type.String(), Package) });

/** What `npm ci` would miss: a package that another asks for and that has no version, where Node.js would look for it. */
function missing({ packages }: Static<typeof LockFile>): string[] {
  return Object.entries(packages).flatMap(([place, { dependencies, devDependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
      .filter((name) => !placesOf(place, name).some((path) => packages[path]?.version))
      .map((name) => `${place}: ${name}`),
  );
}

/** "node_modules/a/node_modules/b" may find what it asks for below itself, below a, or at the top. */
function placesOf(place: string, name: string): string[] {
  const places = [`${place && `${place}/`}node_modules/${name}`];
  for (let at = place; at !== ''; ) {
    at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')));
    places.push(`${at && `${at}/`}node_modules/${name}`);
  }
  return places;
}

describe('package-lock.json', () => {
  const path = join(ROOT, 'package-lock.json');

  test('has every package that another asks for, those of other systems as well: else npm ci refuses it', () => {
    const lock = readCheckedFile(path, LockFile);
    assert.ok(Object.keys(lock.packages).length > 150);
    assert.deepEqual(missing(lock), []);
  });

  test('names no server that packages came from', () => {
    assert.doesNotMatch(readFileSync(path, 'utf8'), /"resolved"/);
  });

  test('what is missing is found', () => {
    const packages = {
      '': { dependencies: { a: '1', d: '1' } },
      'node_modules/a': { version: '1', optionalDependencies: { b: '1', c: '1' } },
      'node_modules/a/node_modules/b': { version: '1', dependencies: { a: '1' } },
      'node_modules/c': {},
    };
    assert.deepEqual(missing({ packages }), [': d', 'node_modules/a: c']);
  });
});
