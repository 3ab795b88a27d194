import assert from 'node:assert/strict';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { persistRoutes, readPersistedRoutes } from '../../../src/router/persisted-routes.ts';
import type { RouteTable } from '../../../src/router/route-table.ts';
import { temporaryDirectory } from '../../support/haproxy.ts';

const server = { instanceGuid: 'i1', address: '10.0.0.1', port: 443, http2: false, appGuid: 'a1', index: 0 };
const table: RouteTable = {
  pools: [{ slot: 3, key: 'a1', servers: [server] }],
  routes: new Map([
    ['a.example.org/', 3],
    ['b.example.org/', null],
  ]),
};

test('what was written is read again', async () => {
  const directory = temporaryDirectory('router-unit');
  try {
    assert.deepEqual(await readPersistedRoutes(directory.path, 10), {
      table: { pools: [], routes: new Map() },
      found: false,
    });
    await persistRoutes(directory.path, table);
    assert.deepEqual(await readPersistedRoutes(directory.path, 10), { table, found: true });
  } finally {
    directory.remove();
  }
});

test('values that would become configuration are left out, and a broken file is an empty table with a problem', async () => {
  const directory = temporaryDirectory('router-unit');
  try {
    const hostile = { ...server, instanceGuid: 'x\n  lua-load /tmp/x' };
    const text = JSON.stringify({
      pools: [
        { slot: 1, key: 'k', servers: [hostile, { ...server, address: '1.2.3.4 disabled' }, server] },
        { slot: 99, key: 'k', servers: [server] },
        'nonsense',
      ],
      routes: [
        ['a.example.org/\nb', 1],
        ['a.example.org/', 1],
        ['c.example.org/', 99],
      ],
    });
    writeFileSync(`${directory.path}/routes.json`, text);
    const { table: read } = await readPersistedRoutes(directory.path, 10);
    assert.deepEqual(read.pools, [{ slot: 1, key: 'k', servers: [server] }]);
    assert.deepEqual(
      [...read.routes],
      [
        ['a.example.org/', 1],
        ['c.example.org/', null],
      ],
    );
    writeFileSync(`${directory.path}/routes.json`, '{');
    assert.ok((await readPersistedRoutes(directory.path, 10)).problem);
    rmSync(`${directory.path}/routes.json`);
    symlinkSync('/etc/passwd', `${directory.path}/routes.json`);
    const { problem } = await readPersistedRoutes(directory.path, 10);
    assert.match(problem ?? '', /ELOOP/);
    assert.equal(problem?.includes('root:'), false);
  } finally {
    directory.remove();
  }
});
