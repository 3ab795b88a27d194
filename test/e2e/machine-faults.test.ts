import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { codeOf } from '../../src/kit/errors.ts';
import { run } from '../../src/kit/process.ts';
import { instances, processesOf } from '../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually } from '../support/platform.ts';
import { allProcesses, familyOf } from '../support/processes.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { figures, judge, STEADY, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
const RECOVERY_MS = 10_000;
const GIGABYTE = 1024 ** 3;

describe('a platform whose machine fails while it is used', { skip: SKIP }, () => {
  const disk = new SmallDisk(32 * GIGABYTE);
  const platform = new UsedPlatform({
    httpsPort: 8445,
    domain: 'machine.cupola.localhost',
    data: join(disk.mountPoint, 'data'),
    options: ['--cells', '2'],
  });

  before(async () => {
    await disk.mount();
    await platform.prepare();
  });
  after(async () => {
    try {
      await platform.remove();
    } finally {
      await disk.remove();
    }
  });

  test('SECURITY 38: PostgreSQL is frozen for 30 s: apps are served, nothing is moved, then all is as it was', async (context) => {
    const before = instanceGuids();
    const seen = await platform.whileUsed(async () => {
      // It first, so that no process of its comes after we looked; one that ended since has nothing to be stopped.
      const postmaster = processesOf(platform, 'postgresql', STEADY, 0);
      signal(postmaster, 'SIGSTOP');
      const frozen = familyOf(postmaster, allProcesses()).map(({ pid }) => pid);
      assert.ok(frozen.length > 1, 'it has a process for each connection');
      signal(frozen, 'SIGSTOP');
      try {
        await pause(30_000);
      } finally {
        signal(frozen, 'SIGCONT');
      }
      await platform.recovered([], RECOVERY_MS);
      await eventually('writes again', () => platform.run('create-org', 'after-the-frost'), RECOVERY_MS);
    });
    context.diagnostic(figures(seen));
    judge(seen, 0);
    assert.deepEqual(instanceGuids(), before, 'no instance was started anew');
  });

  test('SECURITY 38: the data disk is full: apps are served, writes fail and say so, and go on once there is room', async (context) => {
    const before = instanceGuids();
    let tries = 0;
    const seen = await platform.whileUsed(async () => {
      await disk.fill();
      try {
        const said = await eventually('a write is refused', async () => {
          await disk.fill(); // a log that was replaced, or a checkpoint, makes room again
          const tried = await platform.tryCf(officialCf()!, ['create-org', `no-room-${++tries}`], {
            timeoutMs: 60_000,
          });
          return tried.exitCode !== 0 && tried.stderr;
        });
        context.diagnostic(`create-org on a full disk: ${said.trim()}`);
        assert.match(said, /^The platform cannot do this at the moment/);
        await pause(5000);
      } finally {
        disk.free();
      }
      await platform.recovered([], RECOVERY_MS);
      await eventually('writes again', () => platform.run('create-org', 'room-again'), RECOVERY_MS);
    });
    context.diagnostic(figures(seen));
    judge(seen, 0);
    assert.deepEqual(instanceGuids(), before, 'no instance was started anew');
  });

  test('HAV-01: the machine stops at once and starts again: `up` brings every app back', async (context) => {
    const { written } = await platform.whileUsed(() => pause(2000));
    await powerCut();
    const began = performance.now();
    await platform.up();
    const up = performance.now() - began;
    await eventually('the app answers', async () => (await platform.ask('steady')).status === 200);
    const served = performance.now() - began;
    await platform.recovered([], 30_000);
    context.diagnostic(`ready after ${Math.round(up)} ms, the app after ${Math.round(served)} ms`);
    const listed = await platform.run('curl', '/v3/organizations?per_page=5000');
    assert.deepEqual(
      written.filter((name) => !listed.includes(`"${name}"`)),
      [],
      'acknowledged writes are kept',
    );
    judge(await platform.whileUsed(() => pause(2000)), 0);
  });

  /** Instances by index, as their processes tell: a new instance has a new guid. */
  function instanceGuids(): string[] {
    return instances(platform, STEADY)
      .map(({ index, guid }) => `${index} ${guid}`)
      .sort();
  }

  /** To those of them that are there still. */
  function signal(pids: readonly number[], name: NodeJS.Signals): void {
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch (error) {
        if (codeOf(error) !== 'ESRCH') throw error;
      }
    }
  }

  /** What a reset leaves: every process gone without a word, /run, the packet filter, links and cgroups empty, files as they were. */
  async function powerCut(): Promise<void> {
    const { settings, run: runDirectory } = platform.layout;
    const mine = (words: string) => words.includes(settings.dataDirectory) || words.includes(runDirectory);
    // Twice: what was being started while we looked.
    for (let round = 0; round < 3; round++) {
      const all = allProcesses();
      const own = all.filter(({ uid, arguments: words, pid }) => {
        const ofApp = uid >= settings.uidRangeBase && uid < settings.uidRangeBase + 8 * 256 * 65_536;
        return pid !== process.pid && (ofApp || mine(words));
      });
      const roots = own.map(({ pid }) => pid);
      signal(
        familyOf(roots, all).map(({ pid }) => pid),
        'SIGKILL',
      );
      await pause(200);
    }
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => path.startsWith(`${runDirectory}/`) || path.startsWith(`${settings.dataDirectory}/`));
    for (const path of mounts.toReversed()) await run('umount', ['-l', path]).catch(() => '');
    rmSync(runDirectory, { recursive: true, force: true });
    const tables = (await run('nft', ['list', 'tables'])).split('\n').filter((line) => line.includes(settings.id));
    for (const line of tables) await run('nft', ['delete', ...line.trim().split(' ')]);
    const links = JSON.parse(await run('ip', ['-json', 'link'])) as { ifname: string }[];
    for (const { ifname } of links.filter(({ ifname }) => ifname.startsWith(settings.id))) {
      await run('ip', ['link', 'delete', ifname]).catch(() => '');
    }
  }
});
