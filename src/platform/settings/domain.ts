import { systemHosts } from '../public-names.ts';

const LONGEST_NAME = 253;

/**
 * A DNS name in lower case (RFC 1035, 2.3: labels of 63, 253 in all; underscores besides), without a dot at its end. Not what clients
 * take for an IPv4 address, as they do where the last label is a number (URL Standard, "ends in a number").
 */
export const DOMAIN =
  '^(?=.{1,253}$)(?!(.*\\.)?(\\d+|0x[0-9a-f]*)$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$';

/** Of a platform: the names of its own are still names. */
export const LONGEST_DOMAIN = LONGEST_NAME - Math.max(...systemHosts('').map((prefix) => prefix.length));

/** A name as it is meant: case says nothing (RFC 4343), nor does the dot at the end of an absolute one. */
export function plainDomain(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
