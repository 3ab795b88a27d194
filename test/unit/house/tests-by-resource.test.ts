import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { projectFiles } from '../../support/project-files.ts';

const TESTS = 'test/integration/cloud-controller/';
/** Resources without a file of tests of their own, and the file that has them: what is asked of them is asked together. */
const TESTED_IN: Readonly<Record<string, string>> = {
  'organization-quotas': 'quotas',
  'space-quotas': 'quotas',
  spaces: 'organizations',
  users: 'roles',
};

describe('the tests of a resource of the Cloud Controller', () => {
  const files = projectFiles();
  const resources = files.flatMap((file) => /^src\/cloud-controller\/([^/]+)\/operations\.ts$/.exec(file)?.[1] ?? []);
  const has = (name: string): boolean => files.includes(`${TESTS}${name}.test.ts`);

  test('stand in the file of its name, or in one that is listed', () => {
    assert.ok(resources.length > 25, `${resources.length} resources`);
    assert.deepEqual(
      resources.filter((name) => !has(TESTED_IN[name] ?? name)),
      [],
    );
  });

  test('are listed elsewhere only where it has no file', () => {
    assert.deepEqual(
      Object.keys(TESTED_IN).filter((name) => !resources.includes(name) || has(name)),
      [],
    );
  });
});
