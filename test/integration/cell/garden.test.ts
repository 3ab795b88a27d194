import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mountsBelow } from '../../../src/cell/garden/mounts.ts';
import type { EgressRule } from '../../../src/contracts/gen/diego_pb.js';
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
    const stubborn = await container.run(shell('stubborn', 'trap "" TERM; sleep 100'));
    while (!(await readFile(polite.logPath, 'utf8')).includes('up')) await new Promise((r) => setTimeout(r, 20));
    await polite.signal('SIGTERM');
    await stubborn.signal('SIGTERM');
    assert.equal((await polite.exit).exitCode, 5);
    await t.garden.destroy('signals');
    assert.equal((await stubborn.exit).exitCode, 137);
    await assert.rejects(container.run(shell('late', 'true')), { code: 'container_not_found' });
  });

  test('a container that cannot be made leaves nothing and its handle is free again', async () => {
    await assert.rejects(t.garden.create(containerSpec('broken', { stack: 'none' })));
    await assert.rejects(t.garden.create(containerSpec('broken', { layers: [{ key: 'absent' }] })), {
      code: 'layer_missing',
    });
    const egressRules = [{ protocol: 'gre', destination: 'x', ports: '', type: 0, code: 0, log: false } as EgressRule];
    await assert.rejects(t.garden.create(containerSpec('broken', { egressRules })), { code: 'invalid_egress_rule' });
    const binds = [{ source: '/nonexistent', destination: '/etc/x' }];
    await assert.rejects(t.garden.create(containerSpec('broken', { binds })), { code: 'container_runtime_failed' });
    assert.deepEqual(await readdir(join(t.settings.rootDirectory, 'containers')), []);
    assert.deepEqual(mountsBelow(t.settings.rootDirectory), [t.settings.rootDirectory]);
    const container = await t.garden.create(containerSpec('broken'));
    assert.equal((await runShell(container, 'echo works')).output, 'works\n');
    await t.garden.destroy('broken');
  });
});
