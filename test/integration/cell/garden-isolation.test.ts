import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { stackRoot } from '../../../src/cell/stack/stack.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { Planted } from '../../support/planted.ts';
import { allProcesses } from '../../support/processes.ts';

/** Makes a system call through perl, which every stack has, and prints its error number. */
function systemCall(...args: (number | string)[]): string {
  const values = args.map((value, index) => `$a${index} = ${value};`).join(' ');
  return `perl -e '${values} $! = 0; $r = syscall(${args.map((_, index) => `$a${index}`).join(', ')}); print $r == -1 ? "errno " . ($! + 0) : "done"'`;
}
const SYS = {
  unshare: 272,
  mount: 165,
  keyctl: 250,
  socket: 41,
  clone3: 435,
  bpf: 321,
  io_uring_setup: 425,
  setns: 308,
};
const EPERM = 'errno 1';
const ENOSYS = 'errno 38';

describe('garden isolation', { skip: GARDEN_SKIP || (process.arch === 'x64' ? false : 'knows x64 numbers') }, () => {
  let t: TestGarden;
  let container: Container;
  before(async () => {
    t = await startTestGarden('tgb', '10.231.2.0/24');
    container = await t.garden.create(containerSpec('iso'));
  });
  after(() => t.stop());

  test('CTR-01: an app has no capability, cannot gain one, and seccomp filters it', async () => {
    const { output } = await runShell(container, 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status');
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      assert.match(output, new RegExp(`^Cap${set}:\\s+0{16}$`, 'm'));
    assert.match(output, /^NoNewPrivs:\s+1$/m);
    assert.match(output, /^Seccomp:\s+2$/m);
  });

  const refused: [string, string, string][] = [
    ['a user namespace', systemCall(SYS.unshare, 0x10000000), EPERM],
    ['a user namespace by clone', systemCall(56, '0x10000000 | 17', 0, 0, 0, 0), ENOSYS],
    ['clone3, so that libraries fall back', systemCall(SYS.clone3, 0, 0), ENOSYS],
    // The kernel itself would say first that there is no such directory.
    ['a mount', systemCall(SYS.mount, '"none"', '"/nowhere"', '"tmpfs"', 0, 0), EPERM],
    ['another namespace', systemCall(SYS.setns, 0, 0), EPERM],
    ['keyctl', systemCall(SYS.keyctl, 0, -3, 0), EPERM],
    ['bpf', systemCall(SYS.bpf, 0, 0, 0), EPERM],
    ['io_uring', systemCall(SYS.io_uring_setup, 1, 0), EPERM],
  ];
  for (const [what, script, expected] of refused) {
    test(`CTR-01: seccomp refuses ${what}`, async () => {
      assert.equal((await runShell(container, script)).output.trim(), expected);
    });
  }

  test('CTR-01: only Unix, IP and route sockets can be opened', async () => {
    const open = async (family: number, type: number, protocol: number) =>
      (await runShell(container, systemCall(SYS.socket, family, type, protocol))).output.trim();
    assert.equal(await open(1, 1, 0), 'done');
    assert.equal(await open(2, 1, 0), 'done');
    assert.equal(await open(16, 3, 0), 'done'); // NETLINK_ROUTE
    assert.equal(await open(17, 3, 0x300), ENOSYS); // AF_PACKET
    assert.equal(await open(40, 1, 0), ENOSYS); // AF_VSOCK
    assert.equal(await open(16, 3, 9), ENOSYS); // NETLINK_AUDIT
    assert.equal(await open(2, 3, 1), EPERM); // a raw socket: no capability
  });

  test('CTR-01: two containers have uid ranges that do not meet, and neither root is root', async () => {
    const other = await t.garden.create(containerSpec('iso2'));
    assert.ok(Math.abs(container.hostUid - other.hostUid) >= 65_536);
    const { output } = await runShell(container, 'cat /proc/self/uid_map');
    const [inside, outside, size] = output.trim().split(/\s+/).map(Number);
    assert.deepEqual([inside, outside! + 2000, size], [0, container.hostUid, 65_536]);
    const root = await runShell(container, 'id -u; grep CapEff /proc/self/status; mount -t tmpfs x /mnt', {
      user: 'root',
    });
    assert.match(root.output, /^0\nCapEff:\s+00000000000000cb\nmount: .*permission denied/);
    assert.equal(root.exitCode, 32);
    await t.garden.destroy('iso2');
  });

  test('CTR-01: what a container writes is not seen by another, nor in the stack', async () => {
    const other = await t.garden.create(containerSpec('iso3'));
    await runShell(container, 'echo mine > /home/vcap/file; echo mine > /tmp/file');
    const { output } = await runShell(other, 'ls /home/vcap /tmp');
    assert.doesNotMatch(output, /file/);
    const shared = `${stackRoot(t.settings.stacksDirectory, 'debian12')}/tmp`;
    assert.ok((await stat(shared)).isDirectory());
    await assert.rejects(stat(`${shared}/file`), { code: 'ENOENT' });
    await t.garden.destroy('iso3');
  });

  const DENIED = /Permission denied/;
  const READ_ONLY = /Read-only file system/;
  const NOT_PERMITTED = /Operation not permitted/;
  const attacks: [string, string, RegExp][] = [
    ['forwarding is switched on', 'echo 1 > /proc/sys/net/ipv4/ip_forward', READ_ONLY],
    ['the core pattern is set', 'echo "|/tmp/x" > /proc/sys/kernel/core_pattern', READ_ONLY],
    [
      'its limit of processes is lifted',
      'echo max > $(ls /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null)',
      READ_ONLY,
    ],
    ['a program of the stack is put in place', 'echo x > /usr/bin/x', DENIED],
    ['the hosts file is written', 'echo x > /etc/hosts', READ_ONLY],
    ['the kernel’s log is read', 'dmesg', /read kernel buffer failed: Operation not permitted/],
    ['a device is made', 'mknod /tmp/d b 7 0', NOT_PERMITTED],
    ['the init process is ended', 'kill -9 1', NOT_PERMITTED],
    ['the init process’s root is walked into', 'ls /proc/1/root/', DENIED],
    ['the init process’s output is written to', 'echo x > /proc/1/fd/1', DENIED],
  ];
  const NO_MAGIC_KEY = existsSync('/proc/sysrq-trigger') ? false : 'this kernel has no magic key';
  test('CTR-01: it is refused that the magic key is pressed', { skip: NO_MAGIC_KEY }, async () => {
    const { exitCode, output } = await runShell(container, 'echo b > /proc/sysrq-trigger');
    assert.equal(exitCode, 1);
    assert.match(output, DENIED);
  });
  for (const [what, script, refusal] of attacks) {
    test(`CTR-01: it is refused that ${what}`, async () => {
      const { exitCode, output } = await runShell(container, script);
      assert.notEqual(exitCode, 0, output);
      assert.match(output, refusal);
    });
  }

  test('CTR-01: the kernel’s secrets are masked, no program gains rights, no device of the host is there, home is private', async () => {
    for (const file of ['/proc/kcore', '/proc/keys', '/proc/timer_list']) {
      const { output } = await runShell(container, `head -c 1 ${file} 2>/dev/null | wc -c`);
      assert.equal(output, '0\n', file);
    }
    const { output: setId } = await runShell(container, 'find / -xdev -perm /6000 -type f 2>/dev/null');
    assert.equal(setId, '');
    assert.equal((await runShell(container, 'stat -c %a /home/vcap')).output, '750\n');
    const { output: devices } = await runShell(container, 'ls /dev');
    assert.match(devices, /^null$/m);
    assert.doesNotMatch(devices, /^(vda|sda|mem|kmsg|fuse|kvm)$/m);
  });

  test('CTR-01: descriptors of the cell do not leak into a process', async () => {
    const { output } = await runShell(container, 'ls -l /proc/self/fd');
    assert.deepEqual(
      output.match(/ (\d+) ->/g)!.map((fd) => Number(fd.match(/\d+/)![0])),
      [0, 1, 2, 3], // 3 is the listing's own directory
    );
  });

  test('names and resolver are the container’s own', async () => {
    const { output } = await runShell(
      container,
      'cat /etc/hosts /etc/resolv.conf; hostname; [ -w /tmp ] && echo writable',
    );
    assert.equal(output, `127.0.0.1 localhost\n${container.address} iso\nnameserver 169.254.1.1\niso\nwritable\n`);
  });

  test('other users of the machine see nothing of a container', async () => {
    const { mode } = await stat(t.settings.rootDirectory);
    assert.equal(mode & 0o077, 0);
    const mounts = await readFile('/proc/self/mountinfo', 'utf8');
    const rootfs = mounts
      .split('\n')
      .find((line) => line.includes(`${t.settings.runDirectory}/rootfs/`))!
      .split(' ')[4]!;
    const { execFileSync } = await import('node:child_process');
    assert.throws(() => execFileSync('ls', [rootfs], { uid: 65_534, gid: 65_534, stdio: 'ignore' }));
  });

  test('SECURITY 28: the environment of a process is in no file and no argument, while it runs and when it could not start', async () => {
    const planted = new Planted();
    const environment = { VCAP_SERVICES: planted.make('a variable'), PATH: '/bin' };
    const running = await container.run(shell('running', 'exec sleep 100', { environment }));
    const refused = { ...environment, NUL: `${planted.make('a variable with NUL')}\0` };
    await assert.rejects(container.run(shell('refused', 'true', { environment: refused })), (error: Error) => {
      assert.deepEqual(planted.in(Buffer.from(`${error.message} ${error.stack}`)), []);
      return true;
    });
    const seen = allProcesses();
    assert.ok(
      seen.some((one) => one.environment.includes(environment.VCAP_SERVICES)),
      'the process has it',
    );
    assert.deepEqual(
      seen.flatMap(({ arguments: words }) => planted.in(Buffer.from(words))),
      [],
    );
    const { files, found } = planted.inFiles([t.settings.rootDirectory, t.settings.runDirectory]);
    assert.ok(files > 5, `${files} files`);
    assert.deepEqual(found, []);
    await running.signal('SIGKILL');
    await running.exit;
  });
});
