import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { MOUNT, mount, unmount } from '../../../src/cell/garden/kernel.ts';
import { makeSharedMount, mountsBelow, unmountBelow } from '../../../src/cell/garden/mounts.ts';
import { engineCommand, enginePath, pinEngines, runEngine, unpinAll, useEngines } from '../../../src/kit/engines.ts';
import { identify, processesAs } from '../../../src/kit/process.ts';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { imageRoot } from '../../support/haproxy.ts';

const UID = 64_990;

describe('the namespace in which engines run', { skip: GARDEN_SKIP, timeout: 60_000 }, () => {
  const pins = mkdtempSync('/run/engines-test-');
  const pin = join(pins, 'test.1');
  /** As those of a cell, whose garden is shared with it; and of one that nobody told of. */
  const garden = '/run/cupola-zzy/cell-0';
  const others = '/run/cupola-zzz/cell-0';

  before(async () => {
    for (const directory of [garden, others]) {
      mkdirSync(`${directory}/mounted`, { recursive: true });
      makeSharedMount(directory);
    }
    mount('tmpfs', `${others}/mounted`, 'tmpfs', 0, '');
    await pinEngines({ pin, root: imageRoot() }, [garden]);
    useEngines({ pin, root: imageRoot() });
  });
  after(async () => {
    useEngines(null);
    if (existsSync(pins)) await unpinAll(pins);
    for (const directory of [garden, others]) {
      await unmountBelow(directory);
      rmSync(join(directory, '..'), { recursive: true });
    }
  });

  const seenWithin = async () => await runEngine('cat', ['/proc/self/mountinfo']);

  test('BSH-07: engines are the image’s, and all else is the machine’s', async () => {
    assert.match(await runEngine('runc', ['--version']), /^runc version 1\./);
    assert.match(await runEngine('haproxy', ['-v']), /^HAProxy version 3\.[2-9]/);
    assert.equal(enginePath('catatonit'), '/usr/bin/catatonit');
    writeFileSync(`${pins}/word`, 'from outside');
    assert.equal(await runEngine('cat', [`${pins}/word`]), 'from outside');
    rmSync(`${pins}/word`);
    assert.equal(await runEngine('cat', ['/etc/hostname']), readFileSync('/etc/hostname', 'utf8'));
  });

  test('SECURITY 39: libraries are the image’s, whatever the machine’s list of them names first', async () => {
    assert.equal(await runEngine('cat', ['/etc/ld.so.cache']), '');
    assert.notEqual(readFileSync('/etc/ld.so.cache').length, 0);
  });

  test('SECURITY 39: nobody within changes the image', async () => {
    const planted = `/usr/bin/planted-${process.pid}`;
    try {
      await assert.rejects(runEngine('dash', ['-c', `>${planted}`]));
    } finally {
      rmSync(join(imageRoot(), planted), { force: true });
    }
  });

  test('what a garden mounts comes and goes there, and nothing else of containers is held', async () => {
    assert.ok(!(await seenWithin()).includes(others));
    mount('tmpfs', `${garden}/mounted`, 'tmpfs', MOUNT.nosuid, '');
    assert.ok((await seenWithin()).includes(`${garden}/mounted`));
    await unmount(`${garden}/mounted`);
    assert.ok(!(await seenWithin()).includes(`${garden}/mounted`));
  });

  test('HLT-03: what runs within counts as the machine’s, so that it is adopted and ended', async () => {
    const words = [`--reuid=${UID}`, `--regid=${UID}`, '--clear-groups', 'sleep', '60'];
    const [program, ...args] = engineCommand('setpriv', words);
    const child = spawn(program, args, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    try {
      const runs = () => processesAs(new Set([UID])).map(({ pid }) => pid);
      const deadline = Date.now() + 5_000;
      while (runs().length === 0 && Date.now() < deadline) await pause(5);
      assert.notEqual(readlinkSync(`/proc/${child.pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'));
      assert.deepEqual(runs(), [child.pid]);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    assert.equal(identify(child.pid!), null);
  });

  test('nothing is left of it, though something runs within', async () => {
    const [program, ...args] = engineCommand('sleep', ['60']);
    const child = spawn(program, args, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    try {
      const isWithin = () => readFileSync(`/proc/${child.pid}/comm`, 'utf8') === 'sleep\n';
      while (!isWithin()) await pause(5);
      await unpinAll(pins);
      assert.ok(!existsSync(pins));
      assert.deepEqual(mountsBelow(pins), []);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
