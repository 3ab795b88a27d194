import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import { Sealer } from '../../../src/kit/crypto.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';
import { PLATFORM_GROUPS } from '../../../src/uaa/groups/names.ts';
import { createUaaApp } from '../../../src/uaa/http/app.ts';
import { Callers } from '../../../src/uaa/http/gate.ts';
import { registerOperations } from '../../../src/uaa/http/operations.ts';
import { PERMISSIONS } from '../../../src/uaa/permissions.ts';
import { createServices } from '../../../src/uaa/services.ts';

const log = new Logger('test', {}, () => {});

test('the table has every operation that there is, and no other', () => {
  const app = createUaaApp(async () => {}, log);
  const registered = new Set<string>();
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') registered.add(`${one} ${url}`);
  });
  const db = new Kysely<never>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (of) => new PostgresIntrospector(of),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
  const sealer = new Sealer([{ label: 'test', key: randomBytes(32) }]);
  const urls = { uaa: 'https://uaa.test', login: 'https://login.test' };
  registerOperations(app, createServices({ db, sealer, log, urls }), new Callers());
  assert.deepEqual([...registered].sort(), Object.keys(PERMISSIONS).sort());
});

test('every scope that is asked for is a group that is there from the start', () => {
  const asked = Object.values(PERMISSIONS).flatMap((requirement) =>
    requirement.rule === 'client with' ? requirement.authorities : 'scopes' in requirement ? requirement.scopes : [],
  );
  assert.deepEqual(
    asked.filter((name) => !(name in PLATFORM_GROUPS)),
    [],
  );
});

test('an operation that is not in the table cannot be registered', () => {
  const app = createUaaApp(async () => {}, log);
  assert.throws(
    () => app.get('/backdoor', async () => 'open'),
    (error) => error instanceof CupolaError && error.code === 'operation_without_permission',
  );
});
