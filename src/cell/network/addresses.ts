import { CupolaError } from '../../kit/errors.ts';

/** A closed interval of IPv4 addresses (or ports) as numbers. */
export interface Interval {
  first: number;
  last: number;
}

/** Throws `invalid_address`. */
export function parseAddress(text: string): number {
  const parts = text.trim().split('.');
  const valid = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  if (!valid) throw new CupolaError('invalid_address', `"${text.slice(0, 50)}" is not an IPv4 address`);
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** "10.0.0.0/8", "10.0.0.1" or "10.0.0.1-10.0.0.9". Throws `invalid_address`. */
export function parseAddresses(text: string): Interval {
  const [from = '', to, more] = text.split('-');
  if (more !== undefined) throw new CupolaError('invalid_address', `"${text.slice(0, 50)}" is not an address range`);
  if (to !== undefined) return interval(parseAddress(from), parseAddress(to), text);
  const [address = '', bits, rest] = text.trim().split('/');
  if (bits === undefined) return interval(parseAddress(address), parseAddress(address), text);
  if (!/^([0-9]|[12][0-9]|3[0-2])$/.test(bits) || rest !== undefined) {
    throw new CupolaError('invalid_address', `"${text.slice(0, 50)}" is not a CIDR`);
  }
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(parseAddress(address) / size) * size;
  return { first, last: first + size - 1 };
}

/** "80" or "1000-2000". Throws `invalid_port`. */
export function parsePorts(text: string): Interval {
  const match = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first > last || last > 65_535) {
    throw new CupolaError('invalid_port', `"${text.slice(0, 50)}" is not a port or a range of ports`);
  }
  return { first, last };
}

function interval(first: number, last: number, text: string): Interval {
  if (first > last) throw new CupolaError('invalid_address', `"${text.slice(0, 50)}" ends before it begins`);
  return { first, last };
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

  constructor(cidr: string) {
    this.#interval = parseAddresses(cidr);
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
