import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { containerSpec, GARDEN_SKIP, runShell, startTestGarden, type TestGarden } from '../../support/garden.ts';

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
    ['a mount', systemCall(SYS.mount, '"none"', '"/tmp"', '"tmpfs"', 0, 0), EPERM],
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
    assert.notEqual(await open(17, 3, 0x300), 'done'); // AF_PACKET
    assert.notEqual(await open(40, 1, 0), 'done'); // AF_VSOCK
    assert.notEqual(await open(16, 3, 9), 'done'); // NETLINK_AUDIT
    assert.notEqual(await open(2, 3, 1), 'done'); // a raw socket: no capability
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
    assert.match(root.output, /^0\nCapEff:\s+00000000000000cb\n/);
    assert.notEqual(root.exitCode, 0);
    await t.garden.destroy('iso2');
  });

  test('CTR-01: what a container writes is not seen by another, nor in the stack', async () => {
    const other = await t.garden.create(containerSpec('iso3'));
    await runShell(container, 'echo mine > /home/vcap/file; echo mine > /tmp/file');
    const { output } = await runShell(other, 'ls /home/vcap /tmp');
    assert.doesNotMatch(output, /file/);
    await assert.rejects(stat(`${t.settings.stacksDirectory}/debian12/rootfs/tmp/file`));
    await t.garden.destroy('iso3');
  });

  test('CTR-01: the kernel’s interfaces are masked or read-only, the stack is not writable, home is private', async () => {
    const { output } = await runShell(
      container,
      `for f in /proc/kcore /proc/keys /proc/timer_list; do [ -s $f ] && head -c1 $f | wc -c; done
       echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /sys/fs/cgroup/pids/pids.max; echo x > /usr/bin/x; echo x > /etc/hosts
       find / -xdev -perm /6000 -type f -printf 'set-id %p\\n' 2>&1; stat -c %a /home/vcap; dmesg; mknod /tmp/d b 7 0; kill -9 1; ls -la /proc/1/root; ls /dev`,
    );
    assert.equal(
      output.match(/Permission denied|Read-only|Operation not permitted|No such/g)!.length >= 7,
      true,
      output,
    );
    assert.match(output, /^750$/m);
    assert.doesNotMatch(output, /set-id/);
    assert.doesNotMatch(output, /^(vda|sda|mem|kmsg|fuse|kvm)$/m);
    assert.doesNotMatch(output, /^1$/m);
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

  test('SECURITY 28: the environment of a process is in no file and no argument', async () => {
    const process_ = await runShell(container, 'true', {
      environment: { VCAP_SERVICES: 'planted-secret-4711', PATH: '/bin' },
    });
    assert.equal(process_.exitCode, 0);
    const { spawnSync } = await import('node:child_process');
    const directories = [t.settings.rootDirectory, t.settings.runDirectory];
    const found = spawnSync('grep', ['-rl', '--devices=skip', 'planted-secret-4711', ...directories]);
    assert.equal(found.stdout.toString(), '');
  });
});
