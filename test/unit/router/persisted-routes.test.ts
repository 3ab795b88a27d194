import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { PersistedRoutes, readPersistedRoutes } from '../../../src/router/persisted-routes.ts';
import { noChange, type RouteChange, type RouteTable } from '../../../src/router/route-table.ts';
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
    await new PersistedRoutes(directory.path).replace(table);
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
    assert.match(problem ?? '', /is no plain file/);
    assert.equal(problem?.includes('root:'), false);
  } finally {
    directory.remove();
  }
});

const other = { ...server, instanceGuid: 'i2', address: '10.0.0.2' };
const moved: RouteChange = {
  pools: new Map([
    [3, null],
    [4, { slot: 4, key: 'a2', servers: [other] }],
  ]),
  routes: new Map<string, number | null | undefined>([
    ['a.example.org/', 4],
    ['b.example.org/', undefined],
    ['c.example.org/', null],
  ]),
};
const afterMove: RouteTable = {
  pools: [{ slot: 4, key: 'a2', servers: [other] }],
  routes: new Map([
    ['a.example.org/', 4],
    ['c.example.org/', null],
  ]),
};
const never = () => assert.fail('the table is not asked for');
const gone = (key: string): RouteChange => ({ ...noChange(), routes: new Map([[key, undefined]]) });

/** A directory in which the table was written, and its change after it. */
async function changedDirectory() {
  const directory = temporaryDirectory('router-unit');
  const persisted = new PersistedRoutes(directory.path);
  await persisted.replace(table);
  await persisted.append(moved, never);
  return {
    ...directory,
    persisted,
    changes: `${directory.path}/routes.changes`,
    file: `${directory.path}/routes.json`,
  };
}

test('changes are written beside the table, which stays as it is, and are read with it', async () => {
  const t = await changedDirectory();
  try {
    const before = statSync(t.file);
    assert.deepEqual(await readPersistedRoutes(t.path, 10), { table: afterMove, found: true });
    await t.persisted.append(gone('c.example.org/'), never);
    await t.persisted.append(noChange(), never);
    const { table: read } = await readPersistedRoutes(t.path, 10);
    assert.deepEqual([...read.routes], [['a.example.org/', 4]]);
    assert.deepEqual([statSync(t.file).ino, statSync(t.file).mtimeMs], [before.ino, before.mtimeMs]);
  } finally {
    t.remove();
  }
});

test('a table that is written again has its changes in it, and those of the one before say nothing any more', async () => {
  const t = await changedDirectory();
  try {
    copyFileSync(t.changes, `${t.path}/kept`);
    assert.equal(t.persisted.isShort, false, 'the change is as large as the table');
    await t.persisted.replace(table);
    assert.equal(t.persisted.isShort, true);
    assert.deepEqual(await readPersistedRoutes(t.path, 10), { table, found: true });
    await t.persisted.append(gone('b.example.org/'), never);
    assert.deepEqual([...(await readPersistedRoutes(t.path, 10)).table.routes.keys()], ['a.example.org/']);
    copyFileSync(`${t.path}/kept`, t.changes);
    assert.deepEqual(await readPersistedRoutes(t.path, 10), { table, found: true });
  } finally {
    t.remove();
  }
});

test('of changes the last line is left out where it is torn, and everything from a broken line on, which is told', async () => {
  const t = await changedDirectory();
  try {
    const whole = readFileSync(t.changes, 'utf8');
    appendFileSync(t.changes, '{"pools":[4],"routes":[["a.example.org/"]]}');
    assert.deepEqual(await readPersistedRoutes(t.path, 10), { table: afterMove, found: true });
    writeFileSync(t.changes, `${whole}nonsense\n{"pools":[4],"routes":[["a.example.org/"]]}\n`);
    const { problem, ...read } = await readPersistedRoutes(t.path, 10);
    assert.deepEqual(read, { table: afterMove, found: true });
    assert.match(problem ?? '', /line that is no change/);
    writeFileSync(t.changes, whole.slice(0, 20));
    assert.deepEqual(await readPersistedRoutes(t.path, 10), { table, found: true });
  } finally {
    t.remove();
  }
});

test('values in changes that would become configuration are left out, and no route leads to a slot without a pool', async () => {
  const t = await changedDirectory();
  try {
    const hostile = { ...server, instanceGuid: 'x\n  lua-load /tmp/x' };
    const change = {
      pools: [
        { slot: 1, key: 'k', servers: [hostile, server] },
        { slot: 99, key: 'k', servers: [server] },
        4,
        { slot: 5 },
      ],
      routes: [
        ['a.example.org/\nb', 1],
        ['d.example.org/', 1],
        ['e.example.org/', 99],
        ['f.example.org/', '1'],
        'nonsense',
      ],
    };
    appendFileSync(t.changes, `${JSON.stringify(change)}\n`);
    const { table: read } = await readPersistedRoutes(t.path, 10);
    assert.deepEqual(read.pools, [{ slot: 1, key: 'k', servers: [server] }]);
    assert.deepEqual(Object.fromEntries(read.routes), {
      'a.example.org/': null,
      'c.example.org/': null,
      'd.example.org/': 1,
      'e.example.org/': null,
      'f.example.org/': null,
    });
    rmSync(t.changes);
    symlinkSync('/etc/passwd', t.changes);
    const { problem, ...rest } = await readPersistedRoutes(t.path, 10);
    assert.deepEqual(rest, { table, found: true });
    assert.match(problem ?? '', /is no plain file/);
  } finally {
    t.remove();
  }
});

test('changes have a bound, at which the table is written instead; and so it is where nothing is known of the files', async () => {
  const directory = temporaryDirectory('router-unit');
  try {
    const fresh = new PersistedRoutes(directory.path);
    await fresh.append(moved, () => table);
    assert.deepEqual(await readPersistedRoutes(directory.path, 10), { table, found: true });
    const servers = Array.from({ length: 60_000 }, (_, index) => ({ ...server, index, instanceGuid: `i${index}` }));
    const large = { ...noChange(), pools: new Map([[5, { slot: 5, key: 'k', servers }]]) };
    let asked = 0;
    const asks = () => {
      asked += 1;
      return afterMove;
    };
    for (let count = 0; count < 3; count += 1) await fresh.append(large, asks);
    assert.equal(asked, 1);
    const { table: read } = await readPersistedRoutes(directory.path, 10);
    assert.deepEqual(
      read.pools.map(({ slot }) => slot),
      [4],
    );
  } finally {
    directory.remove();
  }
});
