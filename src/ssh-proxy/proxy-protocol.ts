import type { Socket } from 'node:net';
import { CupolaError } from '../kit/errors.ts';

/* PROXY protocol version 2, as HAProxy's documentation "The PROXY protocol", section 2.2. */
/** The client behind a connection. */
export interface Remote {
  address: string;
  port: number;
}

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const FIXED_BYTES = 16;
const LONGEST_BYTES = 1024;
const COMMAND = { version2Local: 0x20, version2Proxy: 0x21 } as const;
const FAMILY = { tcp4: 0x11, tcp6: 0x21 } as const;

/**
 * Takes the header off the beginning of a connection and gives its client; null where the sender speaks for
 * itself (a health check). What follows stays to be read. Throws `bad_proxy_header`, also when it does not come in time.
 */
export async function readProxyHeader(socket: Socket, timeoutMs = 5000): Promise<Remote | null> {
  const header = await take(socket, timeoutMs);
  return remoteOf(header.readUInt8(12), header.readUInt8(13), header.subarray(FIXED_BYTES));
}

/** The header's bytes; those behind them are put back. */
function take(socket: Socket, timeoutMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let seen = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    const start = seen.subarray(0, SIGNATURE.length);
    const length = seen.length < FIXED_BYTES ? FIXED_BYTES : FIXED_BYTES + seen.readUInt16BE(14);
    if (!start.equals(SIGNATURE.subarray(0, start.length)) || length > LONGEST_BYTES) onEnd();
    else if (seen.length >= length && seen.length >= FIXED_BYTES) {
      stop();
      if (seen.length > length) socket.unshift(seen.subarray(length));
      resolve(seen.subarray(0, length));
    }
  };
  const onEnd = (): void => {
    stop();
    reject(refused());
  };
  const timer = setTimeout(onEnd, timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('data', onData).off('end', onEnd).off('close', onEnd).pause();
  };
  socket.on('data', onData).once('end', onEnd).once('close', onEnd);
  return promise;
}

function remoteOf(command: number, family: number, addresses: Buffer): Remote | null {
  if (command === COMMAND.version2Local) return null;
  if (command !== COMMAND.version2Proxy) throw refused();
  if (family === FAMILY.tcp4 && addresses.length >= 12) {
    return { address: [...addresses.subarray(0, 4)].join('.'), port: addresses.readUInt16BE(8) };
  }
  if (family === FAMILY.tcp6 && addresses.length >= 36) {
    const groups = Array.from({ length: 8 }, (_, index) => addresses.readUInt16BE(index * 2).toString(16));
    return { address: groups.join(':'), port: addresses.readUInt16BE(32) };
  }
  throw refused();
}

function refused(): CupolaError {
  return new CupolaError('bad_proxy_header', 'a connection does not begin with a PROXY protocol v2 header');
}
