import { type Interval, type ParsedEgressRule, parseEgressRule } from '../../contracts/egress-rule.ts';
import type { EgressRule } from '../../contracts/gen/diego_pb.js';
import { formatAddress, mergeIntervals } from './addresses.ts';
import { digest } from './digest.ts';

/** What nft rules of one egress list accept; two lists that allow the same have the same name. */
export interface EgressChain {
  name: string;
  rules: readonly string[];
}

export type PlainEgressRule = Pick<EgressRule, 'protocol' | 'destination' | 'ports' | 'type' | 'code' | 'log'>;

/** A rule that cannot be read: it allows nothing. */
export interface IgnoredRule {
  index: number;
  problems: readonly string[];
}

/**
 * Turns a container's egress rules into nft text. Order does not matter (NET-02), what none allows is blocked (NET-01).
 * Every value is parsed into numbers first, so nothing of a rule reaches nft as it was written. A rule that cannot be read
 * is left out and named: for it the container has no way out, and it keeps running.
 */
export function compileEgress(rules: readonly PlainEgressRule[]): EgressChain & { ignored: readonly IgnoredRule[] } {
  const lines = new Set<string>();
  const ignored: IgnoredRule[] = [];
  for (const [index, text] of rules.entries()) {
    const reading = parseEgressRule(text);
    if ('problems' in reading) ignored.push({ index, problems: reading.problems });
    else lines.add(render(reading.rule, text.log));
  }
  const sorted = [...lines].sort();
  return { name: `egress_${digest(sorted.join('\n'))}`, rules: sorted, ignored };
}

function render(rule: ParsedEgressRule, log: boolean): string {
  const verdict = log ? 'log prefix "cupola allowed " group 5 accept' : 'accept';
  return `ip daddr { ${set(rule.destinations, formatAddress)} } ${matchOf(rule)}${verdict}`;
}

function matchOf(rule: ParsedEgressRule): string {
  switch (rule.protocol) {
    case 'all':
      return '';
    case 'tcp':
    case 'udp':
      return `${rule.protocol} dport { ${set(rule.ports, String)} } `;
    case 'icmp':
      return `ip protocol icmp ${icmp('type', rule.type)}${icmp('code', rule.code)}`;
  }
}

function icmp(name: string, value: number | null): string {
  return value === null ? '' : `icmp ${name} ${value} `;
}

function set(intervals: readonly Interval[], format: (value: number) => string): string {
  return mergeIntervals(intervals)
    .map(({ first, last }) => (first === last ? format(first) : `${format(first)}-${format(last)}`))
    .join(', ');
}
