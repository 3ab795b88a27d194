import { readFileSync } from 'node:fs';
import { enginePath } from '../../kit/engines.ts';
import type { BindMount, ContainerLimits, ProcessSpec } from './garden.ts';
import type { SeccompProfile } from './seccomp.ts';
import { UID_RANGE, VCAP } from './settings.ts';

/** Where catatonit stands inside of a container. */
const INIT = '/dev/init';
/** A static binary, since it runs inside of any stack. */
const CATATONIT = 'catatonit';

/** What root inside of a container may: prepare files and become vcap. An app has no capability at all. */
const ROOT_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_SETGID', 'CAP_SETUID'];
const NO_CAPABILITIES = { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] };

const DESCRIPTORS = 16_384;
/** Apps die before the platform when the machine runs out of memory. */
const OOM_SCORE = 500;

const MASKED = [
  ...['/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
  ...['/proc/scsi', '/proc/sched_debug', '/proc/timer_list', '/proc/timer_stats'],
  ...['/sys/devices/virtual/powercap', '/sys/firmware', '/sys/fs/selinux'],
];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export interface RuntimeSpecOptions {
  handle: string;
  rootfs: string;
  /** First host uid of the container's range. */
  uidBase: number;
  limits: ContainerLimits;
  /** Whether the kernel can bound swap. */
  limitsSwap: boolean;
  binds: readonly BindMount[];
  cgroupPath: string;
  seccomp: SeccompProfile;
  /** Made where there is none: runc does it for the first process. */
  workingDirectory?: string;
  /** The first process. Without it catatonit waits as process 1 and reaps what its neighbours leave. */
  process?: Omit<ProcessSpec, 'id'>;
}

/** config.json of the OCI runtime specification 1.0 for runc. */
export function runtimeSpec(options: RuntimeSpecOptions) {
  const { limits } = options;
  const idMappings = [{ containerID: 0, hostID: options.uidBase, size: UID_RANGE }];
  return {
    ociVersion: '1.0.2',
    hostname: options.handle.slice(0, 63),
    root: { path: options.rootfs, readonly: false },
    process: options.process ? processSpec(options.process) : initProcess(options.workingDirectory ?? '/'),
    mounts: [...systemMounts(), ...options.binds.map(bind), bind({ source: enginePath(CATATONIT), destination: INIT })],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'user', 'cgroup'].map((type) => ({ type })),
      uidMappings: idMappings,
      gidMappings: idMappings,
      cgroupsPath: options.cgroupPath,
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        memory: { limit: limits.memoryBytes, ...(options.limitsSwap ? { swap: limits.memoryBytes } : {}) },
        // The kernel's bounds; a share is what CF derives from megabytes of memory.
        cpu: { shares: Math.min(262_144, Math.max(2, Math.round(limits.cpuShares))) },
        pids: { limit: limits.pids },
      },
      seccomp: options.seccomp,
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      sysctl: { 'net.ipv6.conf.all.disable_ipv6': '1', 'net.ipv6.conf.default.disable_ipv6': '1' },
    },
  };
}

/** Throws `engine_missing`. */
export function checkInit(): void {
  enginePath(CATATONIT);
}

/** Root's uid, so that no app can signal or trace it, and no capability. */
function initProcess(workingDirectory: string) {
  const process = processSpec({ args: [INIT, '-P'], environment: {}, workingDirectory, user: 'root' });
  return { ...process, capabilities: NO_CAPABILITIES };
}

/** The `process` object of config.json, which `runc exec --process` reads too. */
export function processSpec(spec: Omit<ProcessSpec, 'id'>) {
  return {
    terminal: false,
    user: { ...numbersOf(spec.user), umask: 0o022 },
    args: spec.args,
    env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    cwd: spec.workingDirectory,
    capabilities:
      spec.user === 'root'
        ? { ...NO_CAPABILITIES, ...sameFor(['bounding', 'effective', 'permitted'], ROOT_CAPABILITIES) }
        : NO_CAPABILITIES,
    rlimits: [
      { type: 'RLIMIT_NOFILE', ...limit(Math.min(DESCRIPTORS, ownDescriptorLimit())) },
      { type: 'RLIMIT_CORE', ...limit(0) },
    ],
    noNewPrivileges: true,
    oomScoreAdj: OOM_SCORE,
  };
}

function numbersOf(user: ProcessSpec['user']) {
  if (user === 'root') return { uid: 0, gid: 0 };
  if (user === 'vcap') return { uid: VCAP, gid: VCAP };
  return { uid: user.uid, gid: user.gid, additionalGids: user.groups };
}

function limit(value: number) {
  return { hard: value, soft: value };
}

function sameFor(names: readonly string[], value: readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(names.map((name) => [name, value]));
}

/** A container cannot get more than the cell has. */
function ownDescriptorLimit(): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return hard === undefined || hard === 'unlimited' ? DESCRIPTORS : Number(hard);
}

function bind({ source, destination }: BindMount) {
  return { destination, type: 'bind', source, options: ['bind', 'ro', 'nosuid', 'nodev'] };
}

function systemMounts() {
  const quiet = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: quiet },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=64k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...quiet, 'mode=1777', 'size=64m'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...quiet, 'ro'] },
    // Runtimes size their heaps by the limits they read here.
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...quiet, 'ro'] },
  ];
}
