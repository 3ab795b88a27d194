import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('kernel');

/** Overlays on ID-mapped mounts. */
const LEAST_KERNEL = [5, 19];
const NEEDED_CONTROLLERS = ['cpu', 'memory', 'pids'];
const CONTROLLERS_V1 = [...NEEDED_CONTROLLERS, 'cpuacct', 'devices', 'freezer'];

/** What the containers need of the kernel. `root` stands before /proc and /sys; `unprivileged` says the caller is not root. */
export function kernelFindings(root = '/'): Finding[] {
  const read = (path: string): string | null => {
    try {
      return readFileSync(join(root, path), 'utf8').trim();
    } catch {
      return null;
    }
  };
  return [
    version(read('proc/sys/kernel/osrelease') ?? ''),
    userNamespaces(read),
    ...(['pid', 'net', 'mnt', 'ipc', 'uts', 'cgroup'] as const)
      .filter((kind) => !existsSync(join(root, 'proc/self/ns', kind)))
      .map((kind) => fail(`${kind} namespaces`, 'missing', 'use a kernel with all namespaces')),
    filesystem(read, 'overlay', 'modprobe overlay'),
    seccomp(read),
    nftables(root, read),
    loop(root),
    ...cgroups(root, read),
    swap(root, read),
    forwarding(read),
  ];
}

type Read = (path: string) => string | null;

function version(release: string): Finding {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  const [leastMajor, leastMinor] = LEAST_KERNEL as [number, number];
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor))
    return ok('version (ID-mapped mounts)', release);
  return fail('version (ID-mapped mounts)', release || 'unknown', 'use Linux 5.19 or newer; 6.1 is what is tested');
}

function userNamespaces(read: Read): Finding {
  const most = Number(read('proc/sys/user/max_user_namespaces') ?? 0);
  if (most >= 1000) return ok('user namespaces', `at most ${most}`);
  if (most > 0)
    return warn(
      'user namespaces',
      `at most ${most}`,
      'sysctl user.max_user_namespaces=10000; each container needs one',
    );
  return fail('user namespaces', 'none', 'sysctl user.max_user_namespaces=10000');
}

function filesystem(read: Read, name: string, advice: string): Finding {
  const known = (read('proc/filesystems') ?? '').split('\n').some((line) => line.split('\t').at(-1) === name);
  return known ? ok(`${name} file system`, 'there') : warn(`${name} file system`, 'not loaded', advice);
}

function seccomp(read: Read): Finding {
  const actions = read('proc/sys/kernel/seccomp/actions_avail') ?? '';
  return actions.includes('errno')
    ? ok('seccomp', 'there')
    : fail('seccomp', 'missing', 'use a kernel with CONFIG_SECCOMP_FILTER');
}

function nftables(root: string, read: Read): Finding {
  const loaded =
    existsSync(join(root, 'sys/module/nf_tables')) || /nf_tables/.test(read('proc/net/netfilter/nf_log') ?? '');
  if (loaded || existsSync(join(root, 'proc/net/netfilter'))) return ok('nftables', 'there');
  return warn('nftables', 'not loaded', 'modprobe nf_tables');
}

function loop(root: string): Finding {
  if (existsSync(join(root, 'dev/loop-control'))) return ok('loop devices (disk quota)', 'there');
  return fail('loop devices (disk quota)', 'missing', 'modprobe loop; in a container give it /dev/loop-control');
}

function cgroups(root: string, read: Read): Finding[] {
  const unified = read('sys/fs/cgroup/cgroup.controllers');
  if (unified !== null) {
    const missing = NEEDED_CONTROLLERS.filter((name) => !unified.split(' ').includes(name));
    const layout = ok('cgroup layout', 'version 2');
    if (missing.length === 0) return [layout, ok('cgroup controllers', unified)];
    const advice = 'boot with cgroup_enable=memory; leave no controller mounted as version 1';
    return [layout, fail('cgroup controllers', `missing: ${missing.join(', ')}`, advice)];
  }
  const present = CONTROLLERS_V1.filter((name) => existsSync(join(root, 'sys/fs/cgroup', name)));
  if (present.length === 0) {
    return [
      fail('cgroup layout', 'nothing at /sys/fs/cgroup', 'mount cgroups: version 2 there, or version 1 below it'),
    ];
  }
  const missing = CONTROLLERS_V1.filter((name) => !present.includes(name));
  return [
    ok('cgroup layout', 'version 1'),
    missing.length === 0
      ? ok('cgroup controllers', present.join(' '))
      : fail('cgroup controllers', `missing: ${missing.join(', ')}`, 'mount those controllers below /sys/fs/cgroup'),
  ];
}

/** Without swap on the machine there is nothing to account for. */
function swap(root: string, read: Read): Finding {
  const used = (read('proc/swaps') ?? '').split('\n').length > 1;
  const unified = existsSync(join(root, 'sys/fs/cgroup/cgroup.controllers'));
  const accounted = unified
    ? !/\bswapaccount=0\b/.test(read('proc/cmdline') ?? '')
    : existsSync(join(root, 'sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'));
  if (accounted) return ok('swap accounting', 'there');
  if (!used) return ok('swap accounting', 'missing, and no swap is in use');
  return warn('swap accounting', 'missing', 'boot with swapaccount=1, or apps may use swap beyond their memory limit');
}

function forwarding(read: Read): Finding {
  return read('proc/sys/net/ipv4/ip_forward') === '1'
    ? ok('IPv4 forwarding', 'on')
    : ok('IPv4 forwarding', 'off; cells switch it on at their start');
}
