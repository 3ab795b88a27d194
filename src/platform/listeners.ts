import Type from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { giveSocket, replaceFile } from '../kit/owned-files.ts';
import { isAlive, type ProcessIdentity } from '../kit/process.ts';
import { descriptorOf, listenTcp, listenUnix, type SocketAddress } from '../kit/sockets.ts';

/** The number the first inherited descriptor has in the process that was started with it. */
export const FIRST_INHERITED = 3;

/** A Unix socket for one account that serves it and one group that connects. Its directory must be there, and root's. */
export interface UnixSocket {
  path: string;
  uid: number;
  gid: number;
}

export type Listening = SocketAddress | UnixSocket;

/** What a holder holds: one of each, in the order of its descriptors. */
const Held = Type.Array(Type.String());

/**
 * The listening sockets of the engines, opened by the supervisor and held by it, by the engine and by a third process that
 * does nothing else. An engine that is killed leaves its socket open: connections wait in the kernel for the next one, and
 * none is refused. The same holds for control and the socket on which it takes SSH clients. A supervisor that is killed finds the sockets again in the holder.
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
    const wanted = this.#addresses.map(keyOf);
    try {
      const held = readCheckedFile(this.#listFile, Held);
      held.forEach((key, index) => {
        if (wanted.includes(key)) this.#descriptors.set(key, descriptorOf(holder.pid, FIRST_INHERITED + index));
      });
      return held.join() === wanted.join();
    } catch (error) {
      log.warn('listening sockets could not be taken over; they are opened anew', { error: messageOf(error) });
      return false;
    }
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
    replaceFile(this.#listFile, JSON.stringify(this.#addresses.map(keyOf)), { mode: 0o600 });
    return descriptors;
  }
}

function listenAtPath({ path, uid, gid }: UnixSocket): number {
  const descriptor = listenUnix(path);
  giveSocket(path, { mode: 0o660, owner: { uid, gid } });
  return descriptor;
}

function keyOf(listening: Listening): string {
  return 'path' in listening ? listening.path : `${listening.address}|${listening.port}`;
}
