import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { containerSpec, GARDEN_SKIP, runShell, startTestGarden, type TestGarden } from '../../support/garden.ts';

const MIB = 1024 ** 2;

describe('garden limits', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  before(async () => {
    t = await startTestGarden('tgc', '10.231.3.0/24');
  });
  after(() => t.stop());

  test('CTR-05: a process that takes more memory than allowed is killed, and it is told so', async () => {
    const limits = { memoryBytes: 32 * MIB, diskBytes: 64 * MIB, pids: 32, cpuShares: 32 };
    const container = await t.garden.create(containerSpec('memory', { limits }));
    const fine = await runShell(container, 'perl -e \'$x = "a" x (8 << 20); print length $x\'');
    assert.deepEqual(fine, { exitCode: 0, outOfMemory: false, output: '8388608' });
    const greedy = await runShell(container, 'exec perl -e \'$x .= "a" x (1 << 20) while 1\'');
    assert.equal(greedy.exitCode, 137);
    assert.equal(greedy.outOfMemory, true);
    const later = await runShell(container, 'exit 9');
    assert.deepEqual([later.exitCode, later.outOfMemory], [9, false]);
    assert.equal(existsSync('oom'), false, 'conmon left its flag in the directory of the cell');
    await t.garden.destroy('memory');
  });

  test('CTR-05: a fork bomb stops at the number of processes allowed', async () => {
    const limits = { memoryBytes: 64 * MIB, diskBytes: 64 * MIB, pids: 20, cpuShares: 32 };
    const container = await t.garden.create(containerSpec('forks', { limits }));
    const script = 'for i in $(seq 40); do sleep 5 & done 2>/dev/null; jobs -p | wc -l';
    const { output } = await runShell(
      container,
      `perl -e 'for (1..40) { my $p = fork; if (!defined $p) { print "refused"; last } if (!$p) { sleep 3; exit } }'`,
    );
    assert.match(output, /refused/, script);
    await t.garden.destroy('forks');
  });

  test('CTR-05: the disk ends at the quota, and what was asked for is usable', async () => {
    const limits = { memoryBytes: 64 * MIB, diskBytes: 64 * MIB, pids: 32, cpuShares: 32 };
    const container = await t.garden.create(containerSpec('disk', { limits }));
    const within = await runShell(container, 'head -c 62M /dev/zero > /home/vcap/a');
    assert.equal(within.exitCode, 0, within.output);
    const metrics = await container.metrics();
    assert.ok(metrics.diskBytes >= 62 * MIB && metrics.diskBytes < 66 * MIB, String(metrics.diskBytes));
    const beyond = await runShell(container, 'head -c 10M /dev/zero > /tmp/b');
    assert.notEqual(beyond.exitCode, 0);
    assert.match(beyond.output, /No space left/);
    await t.garden.destroy('disk');
  });

  test('CTR-05: inodes, locked descriptors and core files are bounded', async () => {
    const container = await t.garden.create(containerSpec('bounds'));
    const { output } = await runShell(
      container,
      'ulimit -n; ulimit -c; perl -e \'for (1..100000) { open(F, ">", "/tmp/f$_") or do { print "inodes end"; last } }\'',
    );
    const [descriptors, core, inodes] = output.trim().split('\n');
    assert.ok(Number(descriptors) <= 16_384);
    assert.equal(core, '0');
    assert.equal(inodes, 'inodes end');
    await t.garden.destroy('bounds');
  });

  test('CTR-05: a log bomb stays within the bound of a log file', async () => {
    const small = await startTestGarden('tgl', '10.231.12.0/24', { logLimitBytes: MIB });
    try {
      const container = await small.garden.create(containerSpec('chatty'));
      const { output } = await runShell(
        container,
        'head -c 5M /dev/zero | tr "\\0" "x" | fold -w 100; echo; echo the end',
      );
      assert.ok(output.length < 2 * MIB, String(output.length));
      assert.match(output, /the end\n$/);
    } finally {
      await small.stop();
    }
  });

  test('metrics tell processor time and memory', async () => {
    const container = await t.garden.create(containerSpec('metrics'));
    const before = await container.metrics();
    await runShell(container, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done');
    const after_ = await container.metrics();
    assert.ok(after_.cpuNanoseconds > before.cpuNanoseconds + 1_000_000n);
    assert.ok(after_.memoryBytes > 0 && after_.memoryBytes < 64 * MIB);
    await t.garden.destroy('metrics');
  });
});
