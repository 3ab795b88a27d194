import { closeSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { CupolaError } from './errors.ts';

/*
 * Listening sockets as plain descriptors, which Node.js does not give: one that nobody in this process accepts on, made to be
 * handed to another. The numbers of the pidfd calls are the same on x86_64 and arm64; constants are Linux's.
 */
const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const setOption = libc.func('int setsockopt(int socket, int level, int name, const int32_t *value, uint32_t length)');
const bindCall = libc.func('int bind(int socket, const void *address, uint32_t length)');
const listenCall = libc.func('int listen(int socket, int backlog)');
const pidfdOpen = libc.func('long syscall(long number, int pid, uint32_t flags)');
const pidfdGetfd = libc.func('long syscall(long number, int pidfd, int descriptor, uint32_t flags)');

const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IP = 0;
const IP_FREEBIND = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** The kernel cuts it to net.core.somaxconn. */
const BACKLOG = 65_535;

export interface SocketAddress {
  /** IPv4 or IPv6, numeric. */
  address: string;
  port: number;
}

function check(result: number | bigint, what: string): number {
  if (Number(result) >= 0) return Number(result);
  const name = getSystemErrorName(-koffi.errno());
  throw new CupolaError('system_call_failed', `${what}: ${name}`, { fields: { errno: name } });
}

/**
 * A TCP socket that listens. The kernel completes handshakes and queues connections as long as any process has it open,
 * whether or not one accepts. An address the machine does not have yet is taken all the same. Closed on exec.
 * Throws `system_call_failed` with `errno`.
 */
export function listenTcp({ address, port }: SocketAddress): number {
  const version = isIP(address);
  if (version === 0) throw new CupolaError('bad_address', `${JSON.stringify(address)} is no IP address`);
  const descriptor = check(socketCall(version === 6 ? AF_INET6 : AF_INET, SOCK_STREAM_CLOEXEC, 0), 'socket');
  try {
    const set = (level: number, name: number) => check(setOption(descriptor, level, name, [1], 4), 'setsockopt');
    set(SOL_SOCKET, SO_REUSEADDR);
    set(IPPROTO_IP, IP_FREEBIND);
    if (version === 6) set(IPPROTO_IPV6, IPV6_V6ONLY);
    const name = version === 6 ? inet6(address, port) : inet(address, port);
    check(bindCall(descriptor, name, name.length), `bind ${address} port ${port}`);
    check(listenCall(descriptor, BACKLOG), `listen on ${address} port ${port}`);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/**
 * A Unix stream socket that listens, in the place of one that a process left there. Who may connect is up to the caller, by
 * the file's owner and mode. Closed on exec. Throws `system_call_failed` with `errno`.
 */
export function listenUnix(path: string): number {
  const name = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${path}\0`)]); // struct sockaddr_un of unix(7)
  if (name.length > 110) throw new CupolaError('bad_address', `${path} is too long for a socket`);
  const descriptor = check(socketCall(AF_UNIX, SOCK_STREAM_CLOEXEC, 0), 'socket');
  try {
    rmSync(path, { force: true });
    check(bindCall(descriptor, name, name.length), `bind ${path}`);
    check(listenCall(descriptor, BACKLOG), `listen on ${path}`);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Another process's descriptor, opened here as well (pidfd_getfd(2)). Needs root. Throws `system_call_failed`. */
export function descriptorOf(pid: number, descriptor: number): number {
  const process = check(pidfdOpen(SYS_PIDFD_OPEN, pid, 0), `pidfd_open ${pid}`);
  try {
    return check(pidfdGetfd(SYS_PIDFD_GETFD, process, descriptor, 0), `descriptor ${descriptor} of ${pid}`);
  } finally {
    closeSync(process);
  }
}

/** struct sockaddr_in of ip(7). */
function inet(address: string, port: number): Buffer {
  const name = Buffer.alloc(16);
  name.writeUInt16LE(AF_INET, 0);
  name.writeUInt16BE(port, 2);
  Buffer.from(address.split('.').map(Number)).copy(name, 4);
  return name;
}

/** struct sockaddr_in6 of ipv6(7). */
function inet6(address: string, port: number): Buffer {
  const name = Buffer.alloc(28);
  name.writeUInt16LE(AF_INET6, 0);
  name.writeUInt16BE(port, 2);
  groupsOf(address).forEach((group, index) => {
    name.writeUInt16BE(group, 8 + 2 * index);
  });
  return name;
}

function groupsOf(address: string): number[] {
  // URL writes IPv4 tails as groups, so that only "::" is left to spread.
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [before = '', after] = plain.split('::');
  const parse = (text: string) =>
    text
      .split(':')
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16));
  const [head, tail] = [parse(before), parse(after ?? '')];
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}
