import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import koffi from 'koffi';

/* ioctl_ns(2). */
const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int descriptor, unsigned long request, void *value)');
/** In /proc/PID/mountinfo, proc(5): what is mounted, and where. */
const IMAGE = /^\d+ \d+ \S+ \S*\/[0-9a-f]{12}\/rootfs\/usr(\/\/deleted)? \/usr /m;
const NS_GET_USERNS = 0xb701;
const NS_GET_PARENT = 0xb702;
const NS_GET_OWNER_UID = 0xb704;

/**
 * Whether process `pid` lives among this one's processes and mounts. What runs in a container has numbers of users of its own, which may
 * be the same by chance. A process can leave by itself only for namespaces of a user namespace that it made: those that one of `makers`
 * (user ids) made do not count as elsewhere. Nor do those in which the platform's engines run. False where it ended.
 */
export function livesHere(pid: number, makers: ReadonlySet<number>): boolean {
  try {
    return isOwnOrMade(pid, 'pid', makers) && (isOwnOrMade(pid, 'mnt', makers) || runsOfImage(pid));
  } catch {
    return false; // it ended meanwhile
  }
}

/** Whether it has the machine's root directory, and an image of the engines in the place of /usr. */
function runsOfImage(pid: number): boolean {
  const [own, other] = [statSync('/proc/self/root'), statSync(`/proc/${pid}/root`)];
  return own.dev === other.dev && own.ino === other.ino && IMAGE.test(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'));
}

function isOwnOrMade(pid: number, kind: 'pid' | 'mnt', makers: ReadonlySet<number>): boolean {
  const own = statSync(`/proc/self/ns/${kind}`).ino;
  let namespace = openSync(`/proc/${pid}/ns/${kind}`, 'r');
  try {
    while (fstatSync(namespace).ino !== own) {
      if (!makers.has(makerOf(namespace))) return false;
      // Namespaces of mounts have no parents. Those of processes do: one that was made within a container is the container's.
      if (kind === 'mnt') return true;
      const parent = related(namespace, NS_GET_PARENT);
      closeSync(namespace);
      namespace = parent;
    }
    return true;
  } finally {
    closeSync(namespace);
  }
}

/** Who made the user namespace that a namespace belongs to. */
function makerOf(namespace: number): number {
  const users = related(namespace, NS_GET_USERNS);
  try {
    const owner = Buffer.alloc(4);
    if (ioctl(users, NS_GET_OWNER_UID, owner) < 0) throw new Error('the owner of a user namespace is not told');
    return owner.readUInt32LE();
  } finally {
    closeSync(users);
  }
}

/** Its descriptor. */
function related(namespace: number, request: number): number {
  const descriptor: number = ioctl(namespace, request, null);
  if (descriptor < 0) throw new Error('a namespace is out of reach');
  return descriptor;
}
