import { arch, release } from 'node:os';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../../kit/checked.ts';
import { engineFile } from '../../kit/engines.ts';
import { CupolaError } from '../../kit/errors.ts';

const Argument = Type.Object({
  index: Type.Integer(),
  value: Type.Integer(),
  valueTwo: Type.Optional(Type.Integer()),
  op: Type.String(),
});
/** Syscall rule of the OCI runtime specification, section "Seccomp". */
const SyscallRule = Type.Object({
  names: Type.Array(Type.String()),
  action: Type.String(),
  errnoRet: Type.Optional(Type.Integer()),
  args: Type.Optional(Type.Array(Argument)),
});
type SyscallRule = Static<typeof SyscallRule>;

export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures: string[];
  syscalls: SyscallRule[];
}

const Names = Type.Optional(Type.Array(Type.String()));
const Conditions = Type.Object({ caps: Names, arches: Names, minKernel: Type.Optional(Type.String()) });
/** The file format of containers-common, where an empty list of arguments may be null. */
const CommonProfile = Type.Object({
  defaultAction: Type.String(),
  defaultErrnoRet: Type.Optional(Type.Integer()),
  syscalls: Type.Array(
    Type.Object({
      ...Type.Omit(SyscallRule, ['args']).properties,
      args: Type.Optional(Type.Union([Type.Array(Argument), Type.Null()])),
      includes: Type.Optional(Conditions),
      excludes: Type.Optional(Conditions),
    }),
  ),
});
type CommonProfile = Static<typeof CommonProfile>;

const COMMON_PROFILE_PATH = '/usr/share/containers/seccomp.json';

/** Calls that no app needs and that attacks on the kernel start with; each is refused with EPERM unless allowed again below. */
const REFUSED = [
  ...['unshare', 'setns', 'pivot_root', 'chroot', 'mount', 'umount', 'umount2', 'mount_setattr', 'move_mount'],
  ...['open_tree', 'fsopen', 'fsmount', 'fsconfig', 'fspick', 'quotactl', 'quotactl_fd', 'open_by_handle_at'],
  ...['name_to_handle_at', 'keyctl', 'add_key', 'request_key', 'io_uring_setup', 'io_uring_enter'],
  ...['io_uring_register', 'userfaultfd', 'bpf', 'perf_event_open', 'syslog', 'kexec_load', 'vmsplice'],
];
const EPERM = 1;
const ENOSYS = 38;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET together. */
const CLONE_NEW_ANYTHING = 0x7e020000;
const FAMILY = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
const NETLINK_ROUTE = 0;

const ARCHITECTURES: Record<string, { common: string; oci: string }> = {
  x64: { common: 'amd64', oci: 'SCMP_ARCH_X86_64' },
  arm64: { common: 'arm64', oci: 'SCMP_ARCH_AARCH64' },
};

/**
 * The seccomp profile of every container: the distribution's list for a process without capabilities, then hardened.
 * Only the native architecture is let in, because 32-bit `socketcall` would go around the socket rules.
 */
export async function loadSeccompProfile(path = engineFile(COMMON_PROFILE_PATH)): Promise<SeccompProfile> {
  const architecture = ARCHITECTURES[arch()];
  if (!architecture) throw new CupolaError('architecture_unsupported', `no seccomp profile for ${arch()}`);
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return harden(readCheckedFile(path, CommonProfile), architecture, [major, minor]);
}

function harden(
  common: CommonProfile,
  architecture: { common: string; oci: string },
  kernel: readonly [number, number],
): SeccompProfile {
  const special = new Set([...REFUSED, 'clone', 'clone3', 'socket', 'socketcall']);
  const syscalls = common.syscalls
    .filter((rule) => applies(rule, architecture.common, kernel))
    .map((rule) => plainRule({ ...rule, names: rule.names.filter((name) => !special.has(name)) }))
    .filter((rule) => rule.names.length > 0);
  syscalls.push(
    {
      names: ['clone'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: CLONE_NEW_ANYTHING, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    },
    // C libraries fall back to `clone`, whose flags a filter can read.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    { names: REFUSED, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    ...[FAMILY.unix, FAMILY.inet, FAMILY.inet6].map((family) => allowSocket(family)),
    // getifaddrs(3) asks the kernel through NETLINK_ROUTE.
    {
      names: ['socket'],
      action: 'SCMP_ACT_ALLOW',
      args: [equals(0, FAMILY.netlink), equals(2, NETLINK_ROUTE)],
    },
  );
  return {
    defaultAction: common.defaultAction,
    defaultErrnoRet: common.defaultErrnoRet,
    architectures: [architecture.oci],
    syscalls,
  };
}

function equals(index: number, value: number) {
  return { index, value, op: 'SCMP_CMP_EQ' };
}

function allowSocket(family: number): SyscallRule {
  return { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [equals(0, family)] };
}

/** Whether a rule holds for a process without capabilities on this machine. */
function applies(
  rule: CommonProfile['syscalls'][number],
  architecture: string,
  kernel: readonly [number, number],
): boolean {
  if (rule.includes?.caps?.length) return false;
  if (rule.includes?.arches?.length && !rule.includes.arches.includes(architecture)) return false;
  if (rule.excludes?.arches?.includes(architecture)) return false;
  if (rule.includes?.minKernel) {
    const [major = 0, minor = 0] = rule.includes.minKernel.split('.').map(Number);
    if (kernel[0] < major || (kernel[0] === major && kernel[1] < minor)) return false;
  }
  return true;
}

function plainRule(rule: CommonProfile['syscalls'][number]): SyscallRule {
  return {
    names: rule.names,
    action: rule.action,
    ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
    ...(rule.args?.length
      ? {
          args: rule.args.map(({ index, value, valueTwo, op }) => ({
            index,
            value,
            op,
            ...(valueTwo === undefined ? {} : { valueTwo }),
          })),
        }
      : {}),
  };
}
