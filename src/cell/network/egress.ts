import type { EgressRule } from '../../contracts/gen/diego_pb.js';
import { CupolaError } from '../../kit/errors.ts';
import { formatAddress, type Interval, mergeIntervals, parseAddresses, parsePorts } from './addresses.ts';
import { digest } from './digest.ts';

/** What nft rules of one egress list accept; two lists that allow the same have the same name. */
export interface EgressChain {
  name: string;
  rules: readonly string[];
}

export type PlainEgressRule = Pick<EgressRule, 'protocol' | 'destination' | 'ports' | 'type' | 'code' | 'log'>;

/**
 * Turns a container's egress rules into nft text. Order does not matter (NET-02), what none allows is blocked (NET-01).
 * Every value is parsed into numbers first, so nothing of a rule reaches nft as it was written.
 * Throws `invalid_egress_rule`.
 */
export function compileEgress(rules: readonly PlainEgressRule[]): EgressChain {
  const lines = [...new Set(rules.map(compileRule))].sort();
  return { name: `egress_${digest(lines.join('\n'))}`, rules: lines };
}

function compileRule(rule: PlainEgressRule): string {
  try {
    const destination = `ip daddr { ${set(rule.destination, parseAddresses, formatAddress)} }`;
    const verdict = rule.log ? 'log prefix "cupola allowed " group 5 accept' : 'accept';
    return `${destination} ${matchOf(rule)}${verdict}`;
  } catch (cause) {
    throw new CupolaError('invalid_egress_rule', 'a security group rule cannot be applied', { cause });
  }
}

function matchOf(rule: PlainEgressRule): string {
  switch (rule.protocol) {
    case 'all':
      return '';
    case 'tcp':
    case 'udp':
      return `${rule.protocol} dport { ${set(rule.ports, parsePorts, String)} } `;
    case 'icmp':
      return `ip protocol icmp ${icmp('type', rule.type)}${icmp('code', rule.code)}`;
    default:
      throw new CupolaError('invalid_protocol', `unknown protocol "${rule.protocol.slice(0, 20)}"`);
  }
}

/** -1 stands for every type or code. */
function icmp(name: string, value: number): string {
  if (value === -1) return '';
  if (!Number.isInteger(value) || value < 0 || value > 255) {
    throw new CupolaError('invalid_icmp', `${value} is not an ICMP ${name}`);
  }
  return `icmp ${name} ${value} `;
}

function set(text: string, parse: (part: string) => Interval, format: (value: number) => string): string {
  return mergeIntervals(text.split(',').map(parse))
    .map(({ first, last }) => (first === last ? format(first) : `${format(first)}-${format(last)}`))
    .join(', ');
}
