/*
 * What a route may be called: the Cloud Controller takes exactly this, and the router serves exactly this. Nothing in it could
 * end a line or a word of HAProxy's map.
 */

const LABEL = /^([a-z0-9_-]+|\*)$/;
const LONGEST_LABEL = 63;
const HOST = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
/** Segments of RFC 3986 section 3.3, empty ones too. */
const PATH = /^(\/[A-Za-z0-9_.~!$&'()*+,;=:@%-]*)+$/;
const LONGEST_HOST = 253;
const LONGEST_PATH = 128;

/** The host of a route before its domain, lower case: one label, or `*`. */
export function isRouteLabel(host: string): boolean {
  return host.length <= LONGEST_LABEL && LABEL.test(host);
}

/** Host and domain together, lower case; a wildcard has `*` as its first label. */
export function isRouteHost(name: string): boolean {
  return name.length <= LONGEST_HOST && HOST.test(name) && !isAddress(name);
}

/**
 * Whether clients take it for an IPv4 address and ask no name server: its last label is a number, decimal, octal or hexadecimal
 * (URL Standard, "ends in a number").
 */
export function isAddress(name: string): boolean {
  return /(^|\.)(\d+|0x[0-9a-f]*)$/i.test(name);
}

/** Empty, or from the slash on. */
export function isRoutePath(path: string): boolean {
  return path === '' || (path.length <= LONGEST_PATH && PATH.test(path));
}

/** Paths with the same one are the same route: requests are looked up without regard to case, and `/a/` serves what `/a` does. */
export function routePathKey(path: string): string {
  return path.toLowerCase().replace(/\/$/, '');
}
