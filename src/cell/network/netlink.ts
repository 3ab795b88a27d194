import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { CupolaError } from '../../kit/errors.ts';
import { numberOf } from './addresses.ts';

/*
 * rtnetlink(7), by which the kernel is told of links, addresses, neighbours and routes. Two programs a link took longer than all that they
 * told it. The machine's byte order is the message's; addresses are in the network's.
 */
const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const sendCall = libc.func('long send(int descriptor, const void *message, size_t size, int flags)');
const receiveCall = libc.func('long recv(int descriptor, void *message, size_t size, int flags)');
const ioctlCall = libc.func('int ioctl(int descriptor, unsigned long request, void *value)');

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const SIOCGIFINDEX = 0x8933;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST_ACK = 1 | 4;
const HEADER_BYTES = 16;
const ANSWER_BYTES = 32_768;
/** After it an answer has the header of what it answers. */
const ERROR_BYTES = HEADER_BYTES + 4;

export const AF_INET = 2;
/** Beside what each request has. */
export const FLAGS = { replace: 0x100, exclusive: 0x200, create: 0x400 } as const;

/** What `socket(2)` takes for a socket of this kind. */
export const NETLINK_SOCKET = { domain: AF_NETLINK, type: SOCK_RAW_CLOEXEC } as const;

export interface Request {
  /** RTM_NEWLINK … */
  type: number;
  flags?: number;
  /** The structure of that type, and its attributes. */
  body: readonly Buffer[];
}

/** A connection to the kernel, about the network namespace in which its socket was made. */
export class Netlink implements Disposable {
  readonly #descriptor: number;

  /** Throws `system_call_failed`. */
  constructor(descriptor = socketCall(NETLINK_SOCKET.domain, NETLINK_SOCKET.type, 0)) {
    if (descriptor < 0) throw failed('netlink', koffi.errno());
    this.#descriptor = descriptor;
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  /** The number of a link. Throws `system_call_failed` (ENODEV where there is none). */
  indexOf(link: string): number {
    const asked = Buffer.alloc(40);
    asked.write(link, 0, 15, 'latin1');
    if (ioctlCall(this.#descriptor, SIOCGIFINDEX, asked) < 0) throw failed(link, koffi.errno());
    return asked.readInt32LE(16);
  }

  /**
   * Has them done in order, off the main thread, since the kernel keeps everybody else's waiting meanwhile. Throws `system_call_failed` for the
   * first that it refuses, with `what`; those after it are done all the same.
   */
  async request(what: string, requests: readonly Request[]): Promise<void> {
    const message = Buffer.concat(requests.map(packed));
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    sendCall.async(this.#descriptor, message, message.length, 0, (error: unknown, sent: number) =>
      error ? reject(error) : resolve(sent),
    );
    if ((await promise) !== message.length) throw failed(what, koffi.os.errno['EIO']!);
    const errors: number[] = [];
    const answer = Buffer.alloc(ANSWER_BYTES);
    while (errors.length < requests.length) {
      // All was done before it was sent.
      const bytes = Number(receiveCall(this.#descriptor, answer, answer.length, MSG_DONTWAIT));
      if (bytes <= 0) throw failed(what, koffi.errno());
      errors.push(...errorsIn(answer.subarray(0, bytes)));
    }
    const error = errors.find((one) => one !== 0);
    if (error !== undefined) throw failed(what, error);
  }
}

/** An attribute: of what kind, and its content. */
export function attribute(kind: number, content: Buffer): Buffer {
  const packed = Buffer.alloc(aligned(4 + content.length));
  packed.writeUInt16LE(4 + content.length, 0);
  packed.writeUInt16LE(kind, 2);
  content.copy(packed, 4);
  return packed;
}

export function nested(kind: number, ...content: readonly Buffer[]): Buffer {
  return attribute(kind, Buffer.concat(content));
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'latin1');
}

export function number(value: number): Buffer {
  const packed = Buffer.alloc(4);
  packed.writeUInt32LE(value);
  return packed;
}

export function ipv4(address: string): Buffer {
  const packed = Buffer.alloc(4);
  packed.writeUInt32BE(numberOf(address));
  return packed;
}

function packed({ type, flags = 0, body }: Request): Buffer {
  const content = Buffer.concat(body);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + content.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST_ACK | flags, 6);
  return Buffer.concat([header, content]);
}

/** For each answer 0 or the number of the error. */
function errorsIn(answer: Buffer): number[] {
  const errors: number[] = [];
  for (let at = 0; at + ERROR_BYTES <= answer.length; at += aligned(answer.readUInt32LE(at))) {
    if (answer.readUInt16LE(at + 4) === NLMSG_ERROR) errors.push(-answer.readInt32LE(at + HEADER_BYTES));
  }
  return errors;
}

function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}

function failed(what: string, error: number): CupolaError {
  const name = getSystemErrorName(-error);
  return new CupolaError('system_call_failed', `${what}: ${name}`, { fields: { errno: name } });
}
