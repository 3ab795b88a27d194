import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isAlive, type ProcessIdentity, run } from '../../../src/kit/process.ts';
import { findClusters } from '../../../src/platform/engines/postgresql/clusters.ts';
import { FORMER, NEWEST, stepLog, TestDatabase } from '../../support/clusters.ts';
import { SmallDisk } from '../../support/small-disk.ts';

const SKIP =
  process.getuid?.() !== 0 ? 'needs root' : FORMER === 0 || FORMER >= NEWEST ? 'needs an older PostgreSQL' : false;
const STEPS = ['preparing', 'checking', 'stopping the former server', 'copying', 'trying the server', 'done'] as const;
/** The main file of a supervisor of code that knows one cluster alone. */
const BEFORE = '/nonexistent/src/platform/supervisor-main.ts';

describe('BSH-07: data of a former PostgreSQL', { skip: SKIP }, () => {
  let database: TestDatabase;
  let former: ProcessIdentity;
  beforeEach(async () => {
    database = await TestDatabase.make('zzq', 21_470);
    former = await database.startFormer();
    await database.query(
      'CREATE TABLE cc.kept (word text PRIMARY KEY); CREATE SEQUENCE cc.counted; ALTER TABLE cc.kept OWNER TO cc',
    );
    await database.query("INSERT INTO cc.kept VALUES ('first'); SELECT nextval('cc.counted')");
  });
  afterEach(async () => {
    await database.remove();
  });

  test('are served as they are until they are carried over, and then by the newer one', async () => {
    const component = await database.component();
    assert.equal((await component.start()).pid, former.pid, 'what runs is found');
    assert.equal(component.isBehind?.(), true);
    const next = await component.takeOver!(former);
    assert.ok(isAlive(next) && !isAlive(former));
    assert.equal(component.isBehind?.(), true, 'there is a way back still');
    assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first' });
    assert.equal(await database.query("SELECT nextval('cc.counted')"), '2');
    assert.equal(await database.query("SELECT reltuples FROM pg_class WHERE relname = 'kept'"), '1', 'statistics');
    await database.query("SET ROLE cc; INSERT INTO cc.kept VALUES ('second')");
    const before = await findClusters(database.places);
    assert.deepEqual([before.inUse?.version, before.wayBack?.version], [NEWEST, FORMER]);
    await component.settle!();
    assert.equal(component.isBehind?.(), false);
    const after = await findClusters(database.places);
    assert.deepEqual([after.inUse?.version, after.wayBack, after.remains.length], [NEWEST, null, 1]);
    await database.end();
    await assert.rejects(database.startFormer(), /pg_ctl/, 'code of before does not begin with old data');
    await component.start();
    assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first second' });
    assert.deepEqual(readdirSync(database.places.clusters).sort(), [String(NEWEST), `${NEWEST}.json`]);
  });

  for (const step of STEPS) {
    test(`are whole where the supervisor is killed at “${step}”`, async () => {
      const code = `
        import { stepLog, TestDatabase } from ${JSON.stringify(join(import.meta.dirname, '../../support/clusters.ts'))};
        const database = await TestDatabase.make('zzq', 21_470);
        const component = await database.component(stepLog((step) => { if (step === ${JSON.stringify(step)}) setTimeout(() => process.kill(process.pid, 'SIGKILL'), 60); }));
        const running = await component.start();
        await component.takeOver(running);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const [, signal] = await once(child, 'exit');
      assert.equal(signal, 'SIGKILL');
      const component = await database.component();
      const running = await component.start();
      assert.equal((await database.served()).rows, 'first');
      await database.query("INSERT INTO cc.kept VALUES ('since')");
      const next = component.isBehind?.() ? await component.takeOver!(running) : running;
      assert.ok(isAlive(next));
      assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first since' });
      await component.settle!();
      assert.equal((await findClusters(database.places)).wayBack, null);
    });
  }

  test('which another supervisor carried over are not given up for those of before: it is not known what was written since', async () => {
    const first = await database.component();
    await first.takeOver!(former);
    await database.query("INSERT INTO cc.kept VALUES ('since')");
    const next = await database.component();
    const running = await next.start();
    assert.equal((await findClusters(database.places)).wayBack, null);
    await assert.rejects(next.yieldTo!(BEFORE), { code: 'data_too_new' });
    await next.takeOver!(running);
    await next.goBack!();
    assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first since' });
  });

  test('are not touched where the disk has no room for a copy', async () => {
    const disk = new SmallDisk(96 * 1024 ** 2);
    await disk.mount();
    try {
      await run('mount', ['--bind', disk.mountPoint, database.places.clusters]);
      await run('chmod', ['755', disk.mountPoint]);
      const component = await database.component();
      await assert.rejects(component.takeOver!(former), {
        code: 'no_room',
        message: /needs \d+ MB free .* it has \d+ MB/,
      });
      assert.ok(isAlive(former), 'it was not stopped');
      assert.deepEqual(await database.served(), { version: FORMER, rows: 'first' });
    } finally {
      await run('umount', ['-l', database.places.clusters]);
      await disk.remove();
    }
  });

  test('go on being served where the disk gets full in the middle', async () => {
    const disk = new SmallDisk(1024 ** 3);
    await disk.mount();
    try {
      await run('mount', ['--bind', disk.mountPoint, database.places.clusters]);
      await run('chmod', ['755', disk.mountPoint]);
      let filled: Promise<void> | undefined;
      const component = await database.component(
        stepLog((step) => {
          if (step === 'copying') filled ??= disk.fill();
        }),
      );
      await assert.rejects(component.takeOver!(former), { code: 'carry_over_failed', message: /No space left/ });
      await filled;
      assert.deepEqual(await database.served(), { version: FORMER, rows: 'first' });
      await database.query("INSERT INTO cc.kept VALUES ('since')");
      disk.free();
      await component.takeOver!(await component.start());
      assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first since' });
    } finally {
      await database.end();
      await run('umount', ['-l', database.places.clusters]);
      await disk.remove();
    }
  });

  test('come back where the newer one is not well', async () => {
    const component = await database.component();
    await component.takeOver!(former);
    await database.query("INSERT INTO cc.kept VALUES ('lost')");
    const back = await component.goBack!();
    assert.ok(isAlive(back));
    assert.deepEqual(await database.served(), { version: FORMER, rows: 'first' });
    assert.equal(component.isBehind?.(), true);
    assert.deepEqual(readdirSync(database.places.clusters), []);
  });

  test('are carried over anew where code of before has served them since', async () => {
    const component = await database.component();
    await component.takeOver!(former);
    await component.yieldTo!(BEFORE);
    const again = await database.startFormer();
    assert.deepEqual(await database.served(), { version: FORMER, rows: 'first' });
    await database.query("INSERT INTO cc.kept VALUES ('by the code of before')");
    const next = await database.component();
    assert.equal((await next.start()).pid, again.pid);
    await next.takeOver!(again);
    assert.deepEqual(await database.served(), { version: NEWEST, rows: 'by the code of before first' });
  });

  test('are not given to code of before once there is no way back', async () => {
    const component = await database.component();
    await component.takeOver!(former);
    await component.settle!();
    await assert.rejects(component.yieldTo!(BEFORE), { code: 'data_too_new' });
    await component.yieldTo!(join(import.meta.dirname, '../../../src/platform/supervisor-main.ts'));
    assert.deepEqual(await database.served(), { version: NEWEST, rows: 'first' });
  });

  test('that are not there, since their disk is not mounted, are missed: nothing begins with none', async () => {
    const component = await database.component();
    await component.start();
    await database.end();
    renameSync(database.places.former, `${database.places.former}.elsewhere`);
    mkdirSync(database.places.former);
    await assert.rejects(component.start(), { code: 'data_missing', message: /PostgreSQL 1\d are gone: is a disk/ });
    assert.deepEqual(readdirSync(database.places.clusters), []);
    rmdirSync(database.places.former);
    renameSync(`${database.places.former}.elsewhere`, database.places.former);
    await component.start();
    assert.deepEqual(await database.served(), { version: FORMER, rows: 'first' });
  });

  test('of two versions that know nothing of each other are left alone, both', async () => {
    await database.end();
    renameSync(database.places.former, `${database.places.former}.elsewhere`);
    const component = await database.component();
    await component.start();
    await database.end();
    rmSync(database.places.former, { recursive: true });
    renameSync(`${database.places.former}.elsewhere`, database.places.former);
    await assert.rejects(component.start(), { code: 'data_ambiguous' });
    assert.equal(readdirSync(database.places.clusters).length, 1);
  });

  test('whose programs are nowhere are left alone, and the error says what to install', async () => {
    await database.stopFormer();
    const file = join(database.places.former, 'PG_VERSION');
    writeFileSync(file, '9\n');
    const component = await database.component();
    await assert.rejects(component.start(), { code: 'engine_missing', message: /install the package postgresql-9$/ });
    assert.equal(readFileSync(file, 'utf8'), '9\n');
    assert.deepEqual(readdirSync(database.places.clusters), []);
  });
});

describe('BSH-07: a new installation', { skip: SKIP }, () => {
  test('begins with the image’s PostgreSQL, and code of before does not begin with no data', async () => {
    const database = await TestDatabase.make('zzp', 21_480);
    try {
      const component = await database.component();
      await component.start();
      assert.equal(component.isBehind?.(), false);
      assert.equal(
        await database.query('SHOW server_version_num').then((text) => Math.floor(Number(text) / 10_000)),
        NEWEST,
      );
      await assert.rejects(database.startFormer(), /pg_ctl/);
      assert.ok(!existsSync(join(database.places.former, 'base')));
    } finally {
      await database.remove();
    }
  });
});
