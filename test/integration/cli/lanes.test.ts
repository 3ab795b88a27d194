import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BundledTests } from '../../../src/cli/lanes/bundled-tests.ts';
import { type LaneResult, runFiles } from '../../../src/cli/lanes/files.ts';
import { type Ended, startInLane } from '../../../src/cli/lanes/lane.ts';
import { Run, removeDeadRuns } from '../../../src/cli/lanes/runs.ts';
import { run } from '../../../src/kit/process.ts';
import { givesWeights } from '../../support/control-groups.ts';
import { eventually } from '../../support/platform.ts';
import { allProcesses } from '../../support/processes.ts';

const LANES = new URL('../../../src/cli/lanes/', import.meta.url).href;

describe('a machine for a file of tests', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  const testRun = new Run();
  const directory = mkdtempSync('/tmp/cupola-lanes-');
  const outside = '/run/cupola-outside';
  after(() => {
    testRun[Symbol.dispose]();
    for (const path of [directory, outside]) rmSync(path, { recursive: true, force: true });
  });

  /** Runs a script in a lane; gives its exit code and what it wrote. */
  async function inLane(script: string, goesFirst = false): Promise<Ended & { said: string }> {
    const file = join(directory, crypto.randomUUID());
    const output = openSync(file, 'w');
    const { ended } = await startInLane(testRun, 'bash', ['-c', script], { env: process.env, output, goesFirst });
    return { ...(await ended), said: readFileSync(file, 'utf8') };
  }

  test('has a network, accounts and directories of its own, and a way out', async () => {
    writeFileSync(outside, '');
    const { code, said } = await inLane(`
      ip -brief link; ls /run; getent passwd; id -u "$(useradd --system cupola-lane && echo cupola-lane)"
      grep nameserver /etc/resolv.conf; ip route show default
      nft add table inet cupola_lane && userdel cupola-lane && nft delete table inet cupola_lane`);
    assert.equal(code, 0, said);
    assert.match(said, /^lo /m);
    assert.match(said, /^default via \S+ dev eth0/m);
    assert.match(said, /^5\d\d$/m, 'the number of its account is none that the machine outside gives');
    assert.doesNotMatch(said, /cupola-outside/);
  });

  test('goes before others where both want the same processor', {
    skip: givesWeights() ? false : 'no control group here says who goes first',
  }, async () => {
    // Both begin when both are there, and end after the same time; the shell says what its children took.
    const meeting = mkdtempSync('/var/tmp/cupola-lanes-');
    const turns = (own: string) => `
      cd ${meeting} && touch ${own}
      timeout 60 sh -c "until [ -e first ] && [ -e other ]; do sleep 0.05; done" || exit
      taskset --cpu-list 0 timeout 3 sh -c "while :; do :; done"; times`;
    const takenOf = ({ said }: { said: string }): number => {
      const [, minutes, seconds] = /^(\d+)m([\d.]+)s \S+$/.exec(said.trim().split('\n').at(-1) ?? '') ?? [];
      return Number(minutes) * 60 + Number(seconds);
    };
    try {
      const both = await Promise.all([inLane(turns('first'), true), inLane(turns('other'))]);
      const [much, little] = both.map(takenOf);
      // Twenty to one, where nobody else wants it; equals would take as much as each other.
      assert.ok(much! > 2 * little!, both.map(({ said }) => said).join());
    } finally {
      rmSync(meeting, { recursive: true });
    }
  });

  test('has no mount of a platform outside, though that keeps it', async () => {
    const [mounted, inner] = ['/run/cupola-mounted', '/run/cupola-mounted/data'];
    mkdirSync(inner, { recursive: true });
    await run('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
    try {
      mkdirSync(inner);
      await run('mount', ['--bind', '/usr', inner]);
      const { said } = await inLane('grep -c cupola-mounted /proc/self/mountinfo');
      assert.equal(said.trim(), '0');
      assert.ok(existsSync(join(inner, 'bin')));
    } finally {
      await run('umount', [inner]).catch(() => {});
      await run('umount', [mounted]);
      rmSync(mounted, { recursive: true });
    }
  });

  test('notices no mounts of a platform outside that go while it is made', async () => {
    const mounted = '/run/cupola-mounted';
    const points = Array.from({ length: 150 }, (_, index) => join(mounted, `${index}`));
    for (const point of points) mkdirSync(point, { recursive: true });
    await run('sh', ['-e', '-c', 'for point; do mount --bind /usr/share "$point"; done', 'sh', ...points]);
    try {
      const going = run('sh', ['-e', '-c', 'for point; do umount "$point"; rmdir "$point"; done', 'sh', ...points]);
      // Some are gone before it looks, and some after.
      await eventually('the first are gone', async () => readdirSync(mounted).length < 140);
      const { code, said } = await inLane('grep -c cupola-mounted /proc/self/mountinfo || true');
      assert.deepEqual([said, code], ['0\n', 0]);
      await going;
    } finally {
      await run('umount', points.filter(existsSync)).catch(() => {});
      rmSync(mounted, { recursive: true });
    }
  });

  test('notices no platform’s data that comes outside while it runs, and that goes', async () => {
    const data = '/var/lib/cupola';
    const signs = mkdtempSync('/var/tmp/cupola-lanes-'); // /tmp is another one in a lane
    const sign = (name: string): string => join(signs, name);
    const running = inLane(`
      look() { timeout 20 sh -c 'until [ -e "$1" ]; do sleep 0.05; done' look "$1" && ls -d ${data} ${data}/own 2>/dev/null; }
      touch ${sign('begun')}; look ${sign('come')}
      mkdir -p ${data}/own; touch ${sign('made')}; look ${sign('gone')}; rm -r ${data}`);
    try {
      await eventually('it runs', async () => existsSync(sign('begun')));
      mkdirSync(data);
      writeFileSync(sign('come'), '');
      await eventually('it has data of its own', async () => existsSync(sign('made')));
      assert.deepEqual(readdirSync(data), []);
      rmSync(data, { recursive: true });
      writeFileSync(sign('gone'), '');
      const { code, said } = await running;
      assert.deepEqual([said, code], [`${data}\n${data}/own\n`, 0]);
    } finally {
      rmSync(signs, { recursive: true });
    }
  });

  test('notices nothing of a platform whose data is elsewhere, and tells what itself leaves there', async () => {
    const [other, own] = ['/var/lib/cupola-lanes-other', '/var/lib/cupola-lanes-own'];
    mkdirSync(join(other, 'mounted'), { recursive: true });
    await run('mount', ['-t', 'tmpfs', 'tmpfs', join(other, 'mounted')]);
    const signs = mkdtempSync('/var/tmp/cupola-lanes-');
    const sign = (name: string): string => join(signs, name);
    const running = inLane(`grep ${other} /proc/self/mountinfo; mkdir ${own}; touch ${sign('begun')}
      timeout 20 sh -c 'until [ -e ${sign('come')} ]; do sleep 0.05; done'`);
    try {
      await eventually('it runs', async () => existsSync(sign('begun')));
      mkdirSync(`${other}-later`);
      writeFileSync(sign('come'), '');
      const { code, said } = await running;
      assert.deepEqual([said, code], [`left on the machine: in /var/lib: ${basename(own)}\n`, 1]);
    } finally {
      await run('umount', [join(other, 'mounted')]);
      for (const made of [other, `${other}-later`, signs]) rmSync(made, { recursive: true, force: true });
    }
  });

  test('nobody outside sees what it makes', async () => {
    const script =
      'touch /run/cupola-inside /etc/cupola-inside; nft add table inet cupola_inside; useradd --system cupola-inside';
    const { said } = await inLane(script);
    for (const left of ['/run: cupola-inside', '/etc: cupola-inside', 'accounts: cupola-inside', 'inet cupola_inside'])
      assert.ok(said.includes(left), `${left} is told: ${said}`);
    for (const file of ['/run/cupola-inside', '/etc/cupola-inside']) assert.equal(existsSync(file), false);
    assert.doesNotMatch(readFileSync('/etc/passwd', 'utf8'), /cupola-inside/);
    assert.doesNotMatch(await run('nft', ['list', 'tables']), /cupola_inside/);
  });

  test('what is left on it fails what ran there; an exit code is passed on', async () => {
    assert.equal((await inLane('touch /run/cupola-left')).code, 1);
    assert.equal((await inLane('exit 7')).code, 7);
    assert.equal((await inLane('true')).code, 0);
  });

  test('tells what all that ran on it took of the processors', async () => {
    const { said, processorSeconds } = await inLane('(for i in {1..300000}; do :; done; times); true');
    const [, minutes, seconds] = /^(\d+)m([\d.]+)s/.exec(said) ?? [];
    const taken = Number(minutes) * 60 + Number(seconds);
    assert.ok(taken > 0.1, said);
    assert.ok(processorSeconds !== null && processorSeconds >= taken, `${processorSeconds} of ${taken} s`);
  });

  test('files that share a platform run on one of two, each set up once, each file with its own result; others on their own', async () => {
    const root = mkdtempSync('/var/tmp/cupola-lanes-'); // /tmp is another one in a lane
    const imports = "import { writeFileSync, readFileSync } from 'node:fs'; import { test } from 'node:test';";
    const files: Record<string, string> = {
      'test/tools/shared-platform.ts': `${imports}
        export const globalSetup = () => writeFileSync('/tmp/shared', 'up', { flag: 'wx' });
        export const globalTeardown = () => console.log('taken away:', readFileSync('/tmp/shared', 'utf8'));`,
      'test/e2e/shared/a.test.ts': `${imports} test('a', () => { writeFileSync('/tmp/shared', 'used'); throw new Error('a fails'); });`,
      'test/e2e/shared/b.test.ts': `${imports} test('b', () => { if (readFileSync('/tmp/shared', 'utf8') !== 'up') throw new Error(); });`,
      'test/e2e/shared/c.test.ts': `${imports} test('c', () => { if (readFileSync('/tmp/shared', 'utf8') !== 'used') throw new Error(); });
        test('d', { skip: 'why' }, () => {});`,
      'test/e2e/own.test.ts': `${imports} test('own', () => writeFileSync('/tmp/shared', '', { flag: 'wx' }));`,
      'test/e2e/untidy.test.ts': `${imports} test('untidy', () => writeFileSync('/run/cupola-left', ''));`,
    };
    const results: LaneResult[] = [];
    try {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      const names = Object.keys(files);
      const tests = new BundledTests(root, join(root, 'bundled'));
      await tests.make(names);
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const how = { tests, env, run: testRun, mostMinutes: 1, moreMinutes: 0 };
      await runFiles(
        names.filter((path) => path.endsWith('.test.ts')),
        2,
        how,
        (one) => results.push(one),
      );
    } finally {
      rmSync(root, { recursive: true });
    }
    const [own, shared, beside, untidy] = results.toSorted((one, other) => one.name.localeCompare(other.name));
    assert.ok(own && shared && beside && untidy && results.length === 4);
    assert.equal(untidy.failure, 'ended with 1; left on the machine: in /run: cupola-left', untidy.output);
    assert.deepEqual([own.name, own.failure], ['test/e2e/own.test.ts', null], own.output);
    assert.deepEqual([shared.name, shared.failure], ['test/e2e/shared, platform 1', 'ended with 1'], shared.output);
    assert.deepEqual([beside.name, beside.failure], ['test/e2e/shared, platform 2', null], beside.output);
    assert.deepEqual(
      [...shared.files, ...beside.files].map(({ file, passed, skipped }) => [file, passed, skipped]),
      [
        ['test/e2e/shared/a.test.ts', false, []],
        ['test/e2e/shared/c.test.ts', true, ['d (why)']],
        ['test/e2e/shared/b.test.ts', true, []],
      ],
    );
    // a line of the source, not of what runs
    assert.match(shared.output, /shared\/a\.test\.ts:1:/);
    assert.match(shared.output, /taken away: used/);
  });

  test('ends with whoever started it, however that ends; the next run removes what is left', async () => {
    const mark = `4711.${process.pid}`;
    const script = `import { startInLane } from '${LANES}lane.ts';
      import { Run } from '${LANES}runs.ts';
      const run = new Run();
      console.log(run.id);
      await startInLane(run, 'bash', ['-c', 'setsid sleep ${mark} & sleep ${mark}'], { env: process.env, output: 2 });`;
    const starter = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [id] = (await once(starter.stdout, 'data')).map((data: Buffer) => data.toString().trim());
    const running = () => allProcesses().filter((one) => one.arguments === `sleep ${mark}`);
    await eventually('both sleep', async () => running().length === 2);
    starter.kill('SIGKILL');
    await once(starter, 'exit');
    await eventually('nothing of it runs', async () => running().length === 0);
    const left = () => globSync([`/var/tmp/cupola-test-${id}`, `/sys/fs/cgroup/*/cupola-test-${id}-*`]);
    assert.ok(left().length > 0);
    await removeDeadRuns();
    assert.deepEqual(left(), []);
    assert.ok(existsSync(testRun.reports), 'of a run that lives nothing goes');
  });

  test('what another account put in the place of a run is left alone', async () => {
    const planted = '/var/tmp/cupola-test-planted';
    try {
      const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', 'mkdir', '-p', `${planted}/lock`];
      await run('setpriv', asNobody);
      symlinkSync('/tmp', '/var/tmp/cupola-test-link');
      await removeDeadRuns();
      assert.ok(existsSync(`${planted}/lock`));
      assert.ok(existsSync('/var/tmp/cupola-test-link'));
    } finally {
      for (const path of [planted, '/var/tmp/cupola-test-link']) rmSync(path, { recursive: true, force: true });
    }
  });
});
