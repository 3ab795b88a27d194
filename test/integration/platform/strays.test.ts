import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { processesAs, processesWith } from '../../../src/kit/process.ts';
import { endProcessesAs } from '../../../src/platform/host/accounts.ts';
import { allProcesses } from '../../support/processes.ts';

/** Accounts that need no names. */
const OWN = 64_331;
const OTHER = 64_332;
/** It ends with its parent: who changes its user would otherwise outlive one that is killed. */
const AS = ['setpriv', `--reuid=${OWN}`, `--regid=${OWN}`, '--clear-groups', '--no-new-privs', '--pdeathsig=KILL'];
/** What a container of somebody's has: root made it. */
const CONTAINER = ['unshare', '--pid', '--mount', '--fork', '--kill-child'];
/** What an account may make by itself. */
const OWN_NAMESPACES = ['unshare', '--user', '--pid', '--mount', '--fork', '--kill-child'];

describe('what runs as an account of the installation', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, () => {
  let serial = 0;
  const started: ChildProcess[] = [];

  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL');
  });

  /** Starts a process and gives whether it lives; `through` is what becomes it. */
  async function start(...through: string[]): Promise<() => boolean> {
    const seconds = `600.${process.pid}${++serial}`;
    const [command, ...args] = [...through, 'sleep', seconds];
    started.push(spawn(command!, args, { cwd: '/', stdio: 'ignore' }));
    const lives = () => allProcesses().some((one) => /^\S+ (\S+)$/.exec(one.arguments)?.[1] === seconds);
    for (const deadline = Date.now() + 10_000; !lives(); await pause(20)) {
      assert.ok(Date.now() < deadline, `${through.join(' ')}: it runs`);
    }
    return lives;
  }

  test('SECURITY: is ended, and no process of that number in a container of somebody’s, nor of another account', async () => {
    const own = [await start(...AS), await start(...AS, 'setsid')];
    const others = [
      await start(...CONTAINER, ...AS),
      await start('unshare', '--mount', ...AS),
      await start('setpriv', `--reuid=${OTHER}`, `--regid=${OTHER}`, '--clear-groups'),
    ];
    await endProcessesAs([{ uid: OWN }]);
    assert.deepEqual(
      own.map((lives) => lives()),
      [false, false],
    );
    assert.deepEqual(
      others.map((lives) => lives()),
      [true, true, true],
    );
    assert.deepEqual(processesAs(new Set([OWN])), [], 'and none of them keeps the account');
  });

  test('SECURITY: is ended in namespaces that it made for itself, and not where it made them in a container', async (t) => {
    const ended = await start(...AS, ...OWN_NAMESPACES).catch(() => null);
    if (ended === null) return t.skip('accounts of this machine make no user namespaces');
    const container = await start(...CONTAINER, ...AS, ...OWN_NAMESPACES);
    await endProcessesAs([{ uid: OWN }]);
    assert.equal(ended(), false);
    assert.equal(container(), true);
  });

  test('is ended only where its command names the run directory, while other installations have the account too', async () => {
    const own = await start(...AS, 'bash', '-c', 'exec -a /run/cupola-abc/left "$@"', 'bash');
    const other = await start(...AS);
    await endProcessesAs([{ uid: OWN }], '/run/cupola-abc');
    assert.equal(own(), false);
    assert.equal(other(), true);
  });

  test('an engine in a container is not taken for one of the platform’s', async () => {
    const lives = await start(...CONTAINER, ...AS);
    const [, seconds = ''] = allProcesses()
      .find((one) => one.uid === OWN)!
      .arguments.split(' ');
    assert.deepEqual(processesWith(OWN, seconds), []);
    assert.equal(lives(), true);
  });
});
