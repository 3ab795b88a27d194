import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mountsBelow } from '../../../src/cell/garden/mounts.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';

describe('garden', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  before(async () => {
    t = await startTestGarden('tga', '10.231.1.0/24');
  });
  after(() => t.stop());

  test('CTR-01: a container runs a process, gives its exit code and its log, and goes', async () => {
    const container = await t.garden.create(containerSpec('one', { properties: { app: 'a1' } }));
    const app = await container.run(shell('app', 'echo out; echo err >&2; hostname; id -u; exit 7'));
    assert.deepEqual(await app.exit, { exitCode: 7, outOfMemory: false });
    const log = await readFile(app.logPath, 'utf8');
    assert.match(log, /^\S+ stdout F out$/m);
    assert.match(log, /^\S+ stderr F err$/m);
    assert.match(log, /^\S+ stdout F one$/m);
    assert.match(log, /^\S+ stdout F 2000$/m);
    assert.equal((await t.garden.lookup('one'))?.properties['app'], 'a1');
    await assert.rejects(t.garden.create(containerSpec('one')), { code: 'handle_in_use' });
    await t.garden.destroy('one');
    assert.equal(await t.garden.lookup('one'), null);
    await t.garden.destroy('one');
  });

  test('a process gets its signal, and destroying the container ends what still runs', async () => {
    const container = await t.garden.create(containerSpec('signals'));
    const polite = await container.run(shell('polite', 'trap "exit 5" TERM; echo up; while :; do sleep 0.05; done'));
    const stubborn = await container.run(shell('stubborn', 'trap "" TERM; echo up; sleep 100'));
    for (const { logPath } of [polite, stubborn]) {
      while (!(await readFile(logPath, 'utf8')).includes('up')) await new Promise((wake) => setTimeout(wake, 20));
    }
    await polite.signal('SIGTERM');
    await stubborn.signal('SIGTERM');
    assert.equal((await polite.exit).exitCode, 5);
    await t.garden.destroy('signals');
    assert.equal((await stubborn.exit).exitCode, 137);
    await assert.rejects(container.run(shell('late', 'true')), { code: 'container_not_found' });
  });

  test('a container that cannot be made leaves nothing and its handle is free again', async () => {
    await assert.rejects(t.garden.create(containerSpec('broken', { stack: 'none' })), { code: 'system_call_failed' });
    await assert.rejects(t.garden.create(containerSpec('broken', { layers: [{ key: 'absent' }] })), {
      code: 'layer_missing',
    });
    const binds = [{ source: '/nonexistent', destination: '/etc/x' }];
    await assert.rejects(t.garden.create(containerSpec('broken', { binds })), { code: 'container_runtime_failed' });
    assert.deepEqual(await readdir(join(t.settings.rootDirectory, 'containers')), []);
    assert.deepEqual(mountsBelow(t.settings.rootDirectory), [t.settings.rootDirectory]);
    const container = await t.garden.create(containerSpec('broken'));
    assert.equal((await runShell(container, 'echo works')).output, 'works\n');
    await t.garden.destroy('broken');
  });

  test('CTR-01: the disk that is copied for the next container stays empty, serves no other size, and does not outlive the garden', async () => {
    const spares = join(t.settings.rootDirectory, 'spares');
    const ready = async (form = /^[0-9a-f-]+\.img$/): Promise<string> => {
      for (;;) {
        const name = (await readdir(spares)).find((file) => form.test(file));
        if (name !== undefined) return join(spares, name);
        await new Promise((wake) => setTimeout(wake, 20));
      }
    };
    const first = await t.garden.create(containerSpec('first'));
    await runShell(first, 'echo secret > /home/vcap/secret');
    await ready();
    const empty = await ready(/\.empty\.img$/);
    const digest = async () =>
      createHash('sha256')
        .update(await readFile(empty))
        .digest('hex');
    const before = await digest();
    const second = await t.garden.create(containerSpec('second'));
    assert.equal((await runShell(second, 'ls /home/vcap/secret 2>/dev/null; echo $?')).output, '2\n');
    await runShell(second, 'echo secret > /home/vcap/secret; sync');
    assert.equal(await digest(), before);
    // Another size is not served with it.
    const limits = { ...containerSpec('third').limits, diskBytes: 96 * 1024 ** 2 };
    await ready();
    const third = await t.garden.create(containerSpec('third', { limits }));
    const blocks = Number((await runShell(third, 'df --output=size -m / | tail -1')).output);
    assert.ok(blocks >= 90 && blocks <= 110, `${blocks} MiB`);
    await ready();
    await t.reopen();
    assert.deepEqual(await readdir(spares), []);
    for (const handle of ['first', 'second', 'third']) await t.garden.destroy(handle);
  });
});
