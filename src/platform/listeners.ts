import { chmodSync, chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { isAlive, type ProcessIdentity } from '../kit/process.ts';
import { descriptorOf, listenTcp, listenUnix, type SocketAddress } from '../kit/sockets.ts';

/** The number the first inherited descriptor has in the process that was started with it. */
export const FIRST_INHERITED = 3;

/** A Unix socket for one account that serves it and one group that connects. Its directory must be there. */
export interface UnixSocket {
  path: string;
  uid: number;
  gid: number;
}

export type Listening = SocketAddress | UnixSocket;

/**
 * The listening sockets of the engines, opened by the supervisor and held by it, by the engine and by a third process that
 * does nothing else. An engine that is killed leaves its socket open: connections wait in the kernel for the next one, and
 * none is refused. The same holds for control and the socket on which it takes the access log. A supervisor that is killed finds the sockets again in the holder.
 */
export class Listeners {
  readonly #addresses: readonly Listening[];
  readonly #listFile: string;
  readonly #descriptors = new Map<string, number>();

  constructor(addresses: readonly Listening[], listFile: string) {
    this.#addresses = addresses;
    this.#listFile = listFile;
  }

  /** Takes the sockets over from a holder that still runs. False where it does not hold exactly what is wanted. */
  adopt(holder: ProcessIdentity | null, log: Logger): boolean {
    if (!holder || !isAlive(holder)) return false;
    const held = this.#readList();
    const wanted = new Set(this.#addresses.map(keyOf));
    try {
      held.forEach((key, index) => {
        if (wanted.has(key)) this.#descriptors.set(key, descriptorOf(holder.pid, FIRST_INHERITED + index));
      });
    } catch (error) {
      log.warn('listening sockets could not be taken over; they are opened anew', { error: messageOf(error) });
      return false;
    }
    return held.join() === this.#addresses.map(keyOf).join();
  }

  /**
   * The sockets of these addresses, in their order; what is not open yet is opened.
   * Throws `system_call_failed`, such as EADDRINUSE.
   */
  descriptors(addresses: readonly Listening[]): number[] {
    return addresses.map((address) => {
      const open = this.#descriptors.get(keyOf(address));
      if (open !== undefined) return open;
      const descriptor = 'path' in address ? listenAtPath(address) : listenTcp(address);
      this.#descriptors.set(keyOf(address), descriptor);
      return descriptor;
    });
  }

  /** All sockets, for a new holder; writes down which they are. */
  forHolder(): number[] {
    const descriptors = this.descriptors(this.#addresses);
    writeFileSync(`${this.#listFile}.new`, JSON.stringify(this.#addresses.map(keyOf)), { mode: 0o600 });
    renameSync(`${this.#listFile}.new`, this.#listFile);
    return descriptors;
  }

  #readList(): string[] {
    try {
      const list: unknown = JSON.parse(readFileSync(this.#listFile, 'utf8'));
      return Array.isArray(list) ? list.filter((key) => typeof key === 'string') : [];
    } catch {
      return []; // there was no holder
    }
  }
}

function listenAtPath({ path, uid, gid }: UnixSocket): number {
  const descriptor = listenUnix(path);
  chownSync(path, uid, gid);
  chmodSync(path, 0o660);
  return descriptor;
}

function keyOf(listening: Listening): string {
  return 'path' in listening ? listening.path : `${listening.address}|${listening.port}`;
}
