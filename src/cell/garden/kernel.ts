import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { isAlive, type ProcessIdentity } from '../../kit/process.ts';

/*
 * System calls that Node.js does not offer. The numbers of the new mount calls are the same on x86_64 and arm64.
 * Structures: mount_setattr(2), loop(4).
 */
const libc = koffi.load('libc.so.6');
const mountCall = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umountCall = libc.func('int umount2(const char *target, int flags)');
const openTreeCall = libc.func('long syscall(long number, int directory, const char *path, uint32_t flags)');
const mountSetattrCall = libc.func(
  'long syscall(long number, int directory, const char *path, uint32_t flags, void *attributes, size_t size)',
);
const moveMountCall = libc.func(
  'long syscall(long number, int from, const char *fromPath, int to, const char *toPath, uint32_t flags)',
);
const ioctlNumber = libc.func('int ioctl(int descriptor, unsigned long request, unsigned long value)');
const ioctlBuffer = libc.func('int ioctl(int descriptor, unsigned long request, void *value)');

const seekCall = libc.func('int64_t lseek(int descriptor, int64_t offset, int whence)');
const setnsCall = libc.func('int setns(int descriptor, int type)');
const dupCall = libc.func('int dup(int descriptor)');
const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const mknodCall = libc.func('int mknod(const char *path, uint32_t mode, uint64_t device)');
const setxattrCall = libc.func(
  'int lsetxattr(const char *path, const char *name, const char *value, size_t size, int flags)',
);
const getxattrCall = libc.func('long lgetxattr(const char *path, const char *name, void *value, size_t size)');
const removexattrCall = libc.func('int lremovexattr(const char *path, const char *name)');

const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0x80000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const ATTRIBUTES_READ_ONLY_NOSUID_NODEV_IDMAP = 0x1n | 0x2n | 0x4n | 0x100000n;
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_AUTOCLEAR = 4;
const CLONE_NEWNET = 0x40000000;
/** Of TCP, which never waits, and closes on exec. */
const TCP_SOCKET = { domain: 2, type: 1 | 0o4000 | 0o2000000 } as const;
const EBUSY = koffi.os.errno['EBUSY'];
const ENXIO = koffi.os.errno['ENXIO'];
const EINVAL = koffi.os.errno['EINVAL'];
const ENOENT = koffi.os.errno['ENOENT'];

export const MOUNT = { nosuid: 2, nodev: 4, bind: 0x1000, private: 1 << 18, shared: 1 << 20 } as const;

function check(result: number | bigint, what: string): number {
  if (Number(result) >= 0) return Number(result);
  const number = koffi.errno();
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? String(number);
  throw new CupolaError('system_call_failed', `${what}: ${name}`, { fields: { errno: name } });
}

/** mount(2). Throws `system_call_failed`. */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  check(mountCall(source, target, type, flags, data), `mount ${type} on ${target}`);
}

/** ioctl(2) with a buffer that is read or written. Throws `system_call_failed`. */
export function ioctl(descriptor: number, request: number, value: Buffer, what: string): void {
  check(ioctlBuffer(descriptor, request, value), what);
}

/** dup(2): another descriptor for the same open file. Throws `system_call_failed`. */
export function duplicate(descriptor: number): number {
  return check(dupCall(descriptor), 'duplicate a descriptor');
}

/** Where a sparse file has anything: offset and length of each piece. Throws `system_call_failed`. */
export function piecesOf(descriptor: number): [number, number][] {
  const pieces: [number, number][] = [];
  for (let hole = 0; ; ) {
    const data = Number(seekCall(descriptor, hole, SEEK_DATA));
    if (data < 0 && koffi.errno() === ENXIO) return pieces;
    hole = check(seekCall(descriptor, check(data, 'lseek'), SEEK_HOLE), 'lseek');
    pieces.push([data, hole - data]);
  }
}

const ownNetwork = openSync('/proc/self/ns/net', 'r');

/** A network namespace that is held as long as this is. */
export interface HeldNetwork extends Disposable {
  readonly descriptor: number;
}

/** That in which a process lives; null where it has ended, since its number may be another's by now. */
export function networkOf(identity: ProcessIdentity): HeldNetwork | null {
  try {
    const descriptor = openSync(`/proc/${identity.pid}/ns/net`, 'r');
    if (isAlive(identity)) return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
    closeSync(descriptor);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  return null;
}

/**
 * A socket, of TCP unless told, of a network namespace: it stays there whoever uses it. The calling thread is inside for the one call
 * that makes it, and nothing else runs on it meanwhile.
 */
export function socketIn(
  network: HeldNetwork,
  { domain, type }: { domain: number; type: number } = TCP_SOCKET,
): number {
  check(setnsCall(network.descriptor, CLONE_NEWNET), 'enter a network namespace');
  try {
    return check(socketCall(domain, type, 0), 'socket');
  } finally {
    // A cell whose main thread stayed in an app's network would do the next app's work there.
    if (setnsCall(ownNetwork, CLONE_NEWNET) < 0) process.abort();
  }
}

/** Unmounts off the main thread, since it may have to write much back. Fine if nothing is mounted there. */
export async function unmount(target: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  umountCall.async(target, 0, (error: unknown, result: number) => (error ? reject(error) : resolve(result)));
  if ((await promise) === 0) return;
  // Busy or absent: detach tells which, and takes it out of sight while the last user still holds it.
  if (umountCall(target, 2) < 0 && koffi.errno() !== EINVAL && koffi.errno() !== ENOENT) check(-1, `unmount ${target}`);
}

/** Binds `source` read-only on `target`, its owners shown as the user namespace maps them. */
export function bindMapped(source: string, target: string, userNamespace: number): void {
  const tree = check(
    openTreeCall(SYS_OPEN_TREE, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE),
    `open_tree ${source}`,
  );
  try {
    const attributes = Buffer.alloc(32);
    attributes.writeBigUInt64LE(ATTRIBUTES_READ_ONLY_NOSUID_NODEV_IDMAP, 0);
    attributes.writeBigUInt64LE(BigInt(userNamespace), 24);
    check(
      mountSetattrCall(SYS_MOUNT_SETATTR, tree, '', AT_EMPTY_PATH | AT_RECURSIVE, attributes, attributes.length),
      `mount_setattr ${source}`,
    );
    check(
      moveMountCall(SYS_MOVE_MOUNT, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH),
      `move_mount to ${target}`,
    );
  } finally {
    closeSync(tree);
  }
}

/** Mounts a sparse file as ext4 through a loop device that frees itself with the unmount. Its tables are zero as the file is: nobody need write it. */
export function mountImage(image: string, target: string): void {
  const file = openSync(image, 'r+');
  try {
    const { device, path } = attachLoop(file);
    try {
      mount(path, target, 'ext4', MOUNT.nosuid | MOUNT.nodev, 'discard,noinit_itable');
    } finally {
      closeSync(device);
    }
  } finally {
    closeSync(file);
  }
}

const S_IFCHR = 0o020000;
const OPAQUE = 'trusted.overlay.opaque';

/** A name that hides what layers below have under it: a character device 0/0 (kernel, filesystems/overlayfs). */
export function makeWhiteout(path: string): void {
  check(mknodCall(path, S_IFCHR, 0), 'mknod');
}

/** Says of a directory of a layer whether it hides what layers below have in it. */
export function setOpaque(path: string, opaque: boolean): void {
  if (opaque) check(setxattrCall(path, OPAQUE, 'y', 1, 0), 'setxattr');
  else removexattrCall(path, OPAQUE); // fine if it has none
}

export function isOpaque(path: string): boolean {
  const value = Buffer.alloc(1);
  return getxattrCall(path, OPAQUE, value, 1) === 1 && value.toString('latin1') === 'y';
}

function attachLoop(file: number): { device: number; path: string } {
  const control = openSync('/dev/loop-control', 'r+');
  try {
    for (let attempt = 0; ; attempt++) {
      const path = `/dev/loop${check(ioctlNumber(control, LOOP_CTL_GET_FREE, 0), 'loop device')}`;
      const device = openSync(path, 'r+');
      const configuration = Buffer.alloc(304);
      configuration.writeUInt32LE(file, 0);
      configuration.writeUInt32LE(LO_FLAGS_AUTOCLEAR, 8 + 52);
      if (ioctlBuffer(device, LOOP_CONFIGURE, configuration) === 0) return { device, path };
      const busy = koffi.errno() === EBUSY; // another process took the number in between
      closeSync(device);
      if (!busy || attempt === 50) check(-1, `configure ${path}`);
    }
  } finally {
    closeSync(control);
  }
}
