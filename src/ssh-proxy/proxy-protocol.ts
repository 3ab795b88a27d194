import type { Socket } from 'node:net';
import { CupolaError } from '../kit/errors.ts';

/* PROXY protocol version 2, as HAProxy's documentation "The PROXY protocol", section 2.2. */
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const FIXED_BYTES = 16;
const LONGEST_BYTES = 1024;
const COMMAND = { version2Local: 0x20, version2Proxy: 0x21 } as const;
const FAMILY = { tcp4: 0x11, tcp6: 0x21 } as const;

/**
 * Takes the header off the beginning of a connection and gives the client's address; null where the sender speaks for
 * itself (a health check). What follows stays to be read. Throws `bad_proxy_header`, also when it does not come in time.
 */
export async function readProxyHeader(socket: Socket, timeoutMs = 5000): Promise<string | null> {
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  try {
    const fixed = await read(socket, FIXED_BYTES);
    const length = fixed.readUInt16BE(14);
    if (!fixed.subarray(0, 12).equals(SIGNATURE) || length > LONGEST_BYTES) throw refused();
    const addresses = length === 0 ? Buffer.alloc(0) : await read(socket, length);
    return addressOf(fixed.readUInt8(12), fixed.readUInt8(13), addresses);
  } finally {
    clearTimeout(timer);
  }
}

function addressOf(command: number, family: number, addresses: Buffer): string | null {
  if (command === COMMAND.version2Local) return null;
  if (command !== COMMAND.version2Proxy) throw refused();
  if (family === FAMILY.tcp4 && addresses.length >= 12) return [...addresses.subarray(0, 4)].join('.');
  if (family === FAMILY.tcp6 && addresses.length >= 36) {
    return Array.from({ length: 8 }, (_, index) => addresses.readUInt16BE(index * 2).toString(16)).join(':');
  }
  throw refused();
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read(bytes);
    if (chunk?.length === bytes) return chunk;
    if (chunk || socket.destroyed || socket.readableEnded) throw refused();
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const event of ['readable', 'close', 'end', 'error']) socket.once(event, resolve);
    await promise;
    for (const event of ['readable', 'close', 'end', 'error']) socket.off(event, resolve);
  }
}

function refused(): CupolaError {
  return new CupolaError('bad_proxy_header', 'a connection does not begin with a PROXY protocol v2 header');
}
