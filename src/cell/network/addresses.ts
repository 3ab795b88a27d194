import { type Interval, parseAddress, parseAddresses } from '../../contracts/egress-rule.ts';
import { CupolaError } from '../../kit/errors.ts';

/** An IPv4 address of the cell's own settings as a number. Throws `invalid_address`. */
export function numberOf(address: string): number {
  const value = parseAddress(address);
  if (value === null) throw new CupolaError('invalid_address', `"${address.slice(0, 50)}" is not an IPv4 address`);
  return value;
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Sorted, without overlaps or neighbours: nft refuses sets whose intervals overlap. */
export function mergeIntervals(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const next of intervals.toSorted((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last && next.first <= last.last + 1) last.last = Math.max(last.last, next.last);
    else merged.push({ ...next });
  }
  return merged;
}

/** The container addresses of an overlay range: all but its first (network) and last (broadcast). */
export class AddressRange {
  readonly #interval: Interval;

  /** Throws `invalid_address`. */
  constructor(cidr: string) {
    const interval = parseAddresses(cidr);
    if (interval === null) throw new CupolaError('invalid_address', `"${cidr.slice(0, 50)}" is not a CIDR`);
    this.#interval = interval;
  }

  get capacity(): number {
    return this.#interval.last - this.#interval.first - 1;
  }

  /** The address of container `number`, counted from 1. Throws `out_of_addresses`. */
  address(number: number): string {
    if (number < 1 || number > this.capacity) {
      throw new CupolaError('out_of_addresses', `the overlay range has no address ${number}`);
    }
    return formatAddress(this.#interval.first + number);
  }
}
