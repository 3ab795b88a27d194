import { readFileSync } from 'node:fs';
import { maxConnectionsFor } from '../../kit/haproxy.ts';
import { FIRST_INHERITED } from '../listeners.ts';

/** The numbers inherited descriptors have in the process that gets them. */
export function numbersOf(inherit: readonly number[]): number[] {
  return inherit.map((_, index) => FIRST_INHERITED + index);
}

/** HAProxy refuses to start with more connections than descriptors; the hard limit is inherited. */
export function maxConnections(): number {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('Max open files'));
  const hard = Number(line?.split(/\s+/)[4] ?? 1024);
  return maxConnectionsFor(Number.isFinite(hard) ? hard : 1_048_576);
}
