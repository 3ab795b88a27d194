import { createSocket } from 'node:dgram';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import type { PlatformSettings } from './schema.ts';

/** How many installations one machine has addresses and ranges of user numbers for. */
export const SLOTS = 31;

/** The addresses and user numbers of one of them. */
export function slotSettings(
  slot: number,
): Pick<PlatformSettings, 'overlay' | 'gateway' | 'resolverAddress' | 'uidRangeBase'> {
  return {
    overlay: `10.${200 + slot}`,
    gateway: `169.254.${1 + slot}.1`,
    resolverAddress: resolverOf(slot),
    uidRangeBase: (16 + slot * 8 * 256) * 65_536,
  };
}

/**
 * The preferred slot, or the next that none of the machine's installations has and at whose resolver address nobody answers. Throws
 * `no_slot`.
 */
export async function freeSlot(
  preferred: number,
  others: readonly Pick<PlatformSettings, 'overlay'>[],
): Promise<number> {
  const taken = new Set(others.map(({ overlay }) => overlay));
  for (let step = 0; step < SLOTS; step += 1) {
    const slot = (preferred + step) % SLOTS;
    if (!taken.has(slotSettings(slot).overlay) && (await isFree(resolverOf(slot)))) return slot;
  }
  throw new CupolaError('no_slot', `${SLOTS} installations are on this machine`);
}

function resolverOf(slot: number): string {
  return `127.0.53.${1 + slot}`;
}

function isFree(address: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket('udp4');
  socket.once('error', (error) => resolve(codeOf(error) !== 'EADDRINUSE'));
  socket.bind({ address, port: 53, exclusive: true }, () => socket.close(() => resolve(true)));
  return promise;
}
