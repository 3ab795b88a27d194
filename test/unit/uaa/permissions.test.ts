import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';
import { createUaaApp } from '../../../src/uaa/http/app.ts';
import { PERMISSIONS, type Requirement } from '../../../src/uaa/permissions.ts';

const GOLDEN = new URL('permissions.golden.txt', import.meta.url);

function words(requirement: Requirement): string {
  switch (requirement.rule) {
    case 'anyone':
      return 'anyone';
    case 'client':
      return 'a client that proves itself in the operation';
    case 'client with':
      return `a client with ${requirement.authorities.join(' or ')}`;
    case 'token':
      return 'any access token';
    case 'own token':
      return `the bearer of the token itself, or ${requirement.scopes.join(' or ')}`;
    case 'scopes':
      return `${requirement.scopes.join(' or ')}${requirement.self ? ', or the user the path names' : ''}`;
  }
}

test('who may call what is as agreed; write the golden file anew with UPDATE_GOLDEN=1 and read the difference', () => {
  const table = Object.entries(PERMISSIONS)
    .map(([operation, requirement]) => `${operation.padEnd(42)} ${words(requirement)}\n`)
    .join('');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, table);
  assert.equal(table, readFileSync(GOLDEN, 'utf8'));
});

test('an operation that is not in the table cannot be registered', () => {
  const app = createUaaApp(async () => {}, new Logger('test', {}, () => {}));
  assert.throws(
    () => app.get('/backdoor', async () => 'open'),
    (error) => error instanceof CupolaError && error.code === 'operation_without_permission',
  );
});
