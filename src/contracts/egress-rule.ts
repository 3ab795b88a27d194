import { isIPv4 } from 'node:net';

/**
 * The grammar of a security group's rule. The API accepts and the cell enforces what this one function reads, so nothing
 * is accepted that cannot be enforced.
 */

/** A closed interval of IPv4 addresses (or ports) as numbers. */
export interface Interval {
  first: number;
  last: number;
}

/** A rule as it is written. */
export interface EgressRuleText {
  protocol: string;
  /** IPv4 addresses, CIDRs and ranges "a-b", separated by commas. */
  destination: string;
  /** Of TCP and UDP alone: ports and ranges "a-b", separated by commas. Empty is the same as absent. */
  ports?: string;
  /** Of ICMP alone; -1 is every one. */
  type?: number;
  code?: number;
}

/** A rule in numbers. Of ICMP null is every type or code. */
export type ParsedEgressRule = { destinations: Interval[] } & (
  | { protocol: 'all' }
  | { protocol: 'tcp' | 'udp'; ports: Interval[] }
  | { protocol: 'icmp'; type: number | null; code: number | null }
);

export type EgressRuleReading = { rule: ParsedEgressRule } | { problems: string[] };

const MAX_DESTINATIONS = 6000;

/** The rule in numbers, or all that is wrong with it. */
export function parseEgressRule(text: EgressRuleText): EgressRuleReading {
  const destinations = destinationsOf(text.destination);
  const matched = matchOf(text);
  const problems = [destinations, matched].filter((part) => typeof part === 'string');
  if (typeof destinations === 'string' || typeof matched === 'string') return { problems };
  return { rule: { destinations, ...matched } };
}

type Match = ParsedEgressRule extends infer Each ? (Each extends unknown ? Omit<Each, 'destinations'> : never) : never;

function matchOf(text: EgressRuleText): Match | string {
  const { protocol } = text;
  switch (protocol) {
    case 'tcp':
    case 'udp': {
      if (!text.ports) return 'ports are required for protocols of type TCP and UDP';
      const ports = text.ports.split(',').map(parsePorts);
      if (!ports.every((part) => part !== null)) {
        return 'ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string';
      }
      return { protocol, ports };
    }
    case 'icmp': {
      if (text.ports) return 'ports are not allowed for protocols of type icmp';
      if (text.code === undefined) return 'code is required for protocols of type ICMP';
      if (text.type === undefined) return 'type is required for protocols of type ICMP';
      if (!isIcmpNumber(text.code)) return 'code must be an integer between -1 and 255 (inclusive)';
      if (!isIcmpNumber(text.type)) return 'type must be an integer between -1 and 255 (inclusive)';
      return { protocol, type: orEvery(text.type), code: orEvery(text.code) };
    }
    case 'all':
      return text.ports ? 'ports are not allowed for protocols of type all' : { protocol };
    default:
      return "protocol must be 'tcp', 'udp', 'icmp', or 'all'";
  }
}

function destinationsOf(text: string): Interval[] | string {
  if (/\s/.test(text)) return 'destination must not contain whitespace';
  const parts = text.split(',');
  if (parts.length > MAX_DESTINATIONS) {
    return `maximum destinations per rule exceeded - must be under ${MAX_DESTINATIONS}`;
  }
  const destinations = parts.map(parseAddresses);
  if (!destinations.every((part) => part !== null)) {
    return 'destination must contain valid CIDR(s), IP address(es), or IP address range(s)';
  }
  return destinations;
}

/** Four decimal numbers without leading zeros, as a number; null where it is not an IPv4 address. */
export function parseAddress(text: string): number | null {
  if (!isIPv4(text)) return null;
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** "10.0.0.0/8", "10.0.0.1" or "10.0.0.1-10.0.0.9"; null where it is none of these. */
export function parseAddresses(text: string): Interval | null {
  const range = /^([^-/]+)-([^-/]+)$/.exec(text);
  if (range) return interval(parseAddress(range[1]!), parseAddress(range[2]!));
  // No leading zero: others would read 010 as eight.
  const [, address = '', bits = '32'] = /^([^-/]+)(?:\/(\d|[12]\d|3[0-2]))?$/.exec(text) ?? [];
  const value = parseAddress(address);
  if (value === null) return null;
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(value / size) * size;
  return { first, last: first + size - 1 };
}

/** "80" or "1000-2000", of 1 to 65535; null where it is not. */
export function parsePorts(text: string): Interval | null {
  const [, first, last = first] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(text) ?? [];
  if (first === undefined || Number(first) < 1 || Number(last) > 65_535) return null;
  return interval(Number(first), Number(last));
}

function interval(first: number | null, last: number | null): Interval | null {
  return first === null || last === null || first > last ? null : { first, last };
}

function isIcmpNumber(value: number): boolean {
  return Number.isInteger(value) && value >= -1 && value <= 255;
}

function orEvery(value: number): number | null {
  return value === -1 ? null : value;
}
