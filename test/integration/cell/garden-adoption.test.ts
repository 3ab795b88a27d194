import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { teardownGarden } from '../../../src/cell/garden/teardown.ts';
import { run } from '../../../src/kit/process.ts';
import { tar } from '../../support/archives.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';

/** A cell process of its own that makes containers until it is killed; prints the handle of each that runs. */
async function startCell(t: TestGarden, first: string): Promise<{ child: ChildProcess; made: string[] }> {
  const { log: _, ...settings } = t.settings;
  const child = spawn(process.execPath, ['test/support/garden-cell.ts', JSON.stringify(settings), first], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const made: string[] = [];
  const open = Promise.withResolvers<void>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line === 'open') open.resolve();
    else made.push(line);
  });
  await open.promise;
  return { child, made };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Everything on the machine that carries the garden's name. */
async function traces(t: TestGarden): Promise<string[]> {
  const { prefix, rootDirectory, runDirectory } = t.settings;
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const links = (await run('ip', ['-o', 'link'])).split('\n');
  const tables = (await run('nft', ['list', 'tables'])).split('\n');
  const loops = (await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).split('\n');
  const groups = (await readdir('/sys/fs/cgroup')).flatMap((tree) =>
    [`/sys/fs/cgroup/${tree}/cupola-${prefix}`].filter((path) => existsSync(path)),
  );
  const processes = (await run('ps', ['-eo', 'args'])).split('\n').filter((line) => !line.includes('garden-adoption'));
  return [
    ...[...mounts, ...loops, ...processes].filter(
      (line) => line.includes(rootDirectory) || line.includes(runDirectory),
    ),
    ...links.filter((line) => new RegExp(`: ${prefix}\\d+[@:]`).test(line)),
    ...tables.filter((line) => line.endsWith(` cupola_${prefix}`)),
    ...groups,
    ...[rootDirectory, runDirectory].filter((path) => existsSync(path)),
  ];
}

describe('garden adoption', { skip: GARDEN_SKIP }, () => {
  test('CTR-01: after kill -9 of the cell, containers, processes, logs and exit codes are found again', async () => {
    const t = await startTestGarden('tgh', '10.231.8.0/24');
    try {
      const layer = {
        format: 'tar' as const,
        open: async () => Readable.from([tar([{ name: 'file', content: 'x' }])]),
      };
      const layers = [await t.garden.ensureLayer('layer', layer, '/home/vcap', 'debian12')];
      await t.garden.close();
      const { child, made } = await startCell(t, 'kept');
      while (!made.includes('kept')) await pause(20);
      await kill(child);
      await pause(400); // "ended" ends meanwhile, with nobody there

      const garden = await t.reopen();
      const container = (await garden.lookup('kept'))!;
      assert.deepEqual(container.properties, { app: 'guid' });
      const processes = new Map((await container.processes()).map((one) => [one.id, one]));
      assert.deepEqual(await processes.get('ended')!.exit, { exitCode: 6, outOfMemory: false });
      assert.match(await readFile(processes.get('ended')!.logPath, 'utf8'), /stdout F late words/);
      assert.equal((await runShell(container, 'echo still here')).output, 'still here\n');
      await processes.get('lasting')!.signal('SIGTERM');
      assert.equal((await processes.get('lasting')!.exit).exitCode, 5);
      assert.ok((await container.metrics()).memoryBytes > 0);
      const other = await garden.create(containerSpec('other', { layers }));
      assert.notEqual(other.address, container.address);
      assert.equal((await runShell(other, 'cat file')).output, 'x');
      await Promise.all([
        other.setProperties({ name: 'old' }),
        other.setEgressRules([]),
        other.setProperties({ name: 'new', more: 'x' }),
      ]);
      const again = (await (await t.reopen()).lookup('other'))!;
      assert.deepEqual(again.properties, { name: 'new', more: 'x' });
    } finally {
      await t.stop();
    }
    assert.deepEqual(await traces(t), []);
  });

  test('a cell killed at any moment leaves nothing half made once the garden opens again', async () => {
    const t = await startTestGarden('tgi', '10.231.9.0/24');
    try {
      for (const milliseconds of [15, 45, 75, 105, 140, 180]) {
        await t.garden.close();
        const { child } = await startCell(t, 'first');
        await pause(milliseconds);
        await kill(child);
        const garden = await t.reopen();
        const found = await garden.list();
        for (const container of found) assert.equal((await runShell(container, 'echo fine')).output, 'fine\n');
        const numbers = found.map(({ address }) => address.split('.')[3]!).sort();
        assert.deepEqual((await readdir(`${t.settings.rootDirectory}/containers`)).sort(), numbers);
        assert.deepEqual((await readdir(`${t.settings.runDirectory}/rootfs`)).sort(), numbers);
        assert.equal((await readdir(`${t.settings.runDirectory}/runc`)).length, numbers.length);
        const links = await run('ip', ['-o', 'link', 'show', 'type', 'veth']);
        assert.equal([...links.matchAll(/: tgi\d+@/g)].length, numbers.length);
        for (const { handle } of found) await garden.destroy(handle);
        assert.equal((await garden.list()).length, 0);
      }
    } finally {
      await t.stop();
    }
    assert.deepEqual(await traces(t), []);
  });

  test('what still makes a container for a cell that was killed is ended before the rest of the container is removed', async () => {
    const t = await startTestGarden('tgx', '10.231.28.0/24');
    const runc = spawn('sh', ['-c', 'sleep 60; :', 'runc', 'run', 'tgx-1'], { stdio: 'ignore' });
    const ended = new Promise((resolve) => runc.once('exit', (_, signal) => resolve(signal)));
    try {
      await t.garden.create(containerSpec('half'));
      await t.garden.close();
      const record = `${t.settings.rootDirectory}/containers/1/record.json`;
      const whole = JSON.parse(await readFile(record, 'utf8'));
      await writeFile(record, JSON.stringify({ ...whole, state: 'creating', init: null }));
      const garden = await t.reopen();
      assert.equal(await Promise.race([ended, pause(1000)]), 'SIGKILL');
      assert.deepEqual(await garden.list(), []);
    } finally {
      runc.kill('SIGKILL');
      await t.stop();
    }
    assert.deepEqual(await traces(t), []);
  });

  test('destroying a garden leaves nothing, whatever runs in it', async () => {
    const t = await startTestGarden('tgj', '10.231.10.0/24');
    try {
      const container = await t.garden.create(containerSpec('busy'));
      await container.run(shell('busy', 'trap "" TERM; while :; do echo line; done'));
      await t.garden.create(containerSpec('idle'));
      assert.ok((await traces(t)).length > 10);
      await t.garden.close();
      await teardownGarden(t.settings);
      assert.deepEqual(await traces(t), []);
      await teardownGarden(t.settings);
    } finally {
      await t.stop();
    }
  });

  test('a process whose conmon was killed counts as ended', async () => {
    const t = await startTestGarden('tgk', '10.231.11.0/24');
    try {
      const container = await t.garden.create(containerSpec('orphan'));
      const app = await container.run(shell('app', 'sleep 100'));
      const pid = await readFile(`${t.settings.rootDirectory}/containers/1/processes/app/conmon.pid`, 'utf8');
      process.kill(Number(pid), 'SIGKILL');
      assert.deepEqual(await app.exit, { exitCode: 137, outOfMemory: false });
    } finally {
      await t.stop();
    }
  });
});
