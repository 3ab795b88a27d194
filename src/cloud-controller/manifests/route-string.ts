/** A route as a manifest spells it, taken apart. Which part of the host is the domain only the domain table knows. */
export interface RouteString {
  /** The whole host, lower case: "web.example.org". */
  host: string;
  /** "" or "/v1". */
  path: string;
  port: number | null;
}

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/** Null where the text is not a properly formed route: "web.example.org/v1", "https://web.example.org", "tcp.example.org:1024". */
export function parseRouteString(text: string): RouteString | null {
  if (text.length > 1024) return null;
  const match = /^(?:(https?|tcp):\/\/)?([^/:?#\s]+)(?::(\d{1,5}))?(\/[^?#\s]*)?$/i.exec(text.trim());
  if (!match) return null;
  const scheme = match[1]?.toLowerCase();
  const host = match[2]!.toLowerCase();
  const port = match[3] === undefined ? null : Number(match[3]);
  const path = match[4] === undefined || match[4] === '/' ? '' : match[4];
  const labels = host.split('.');
  const isHost =
    host.length <= 253 &&
    labels.length >= 2 &&
    labels.every((label, position) => LABEL.test(label) || (position === 0 && label === '*'));
  if (!isHost || path.length > 128) return null;
  if (port !== null && (scheme === 'http' || scheme === 'https' || port < 1 || port > 65_535 || path !== ''))
    return null;
  if (port === null && scheme === 'tcp') return null;
  return { host, path, port };
}

/** The ways to read a host as host and domain, most specific domain first: the whole as a domain, then its parent. */
export function hostDomainCandidates(host: string): { host: string; domain: string }[] {
  const dot = host.indexOf('.');
  const split = { host: host.slice(0, dot), domain: host.slice(dot + 1) };
  return host.startsWith('*') ? [split] : [{ host: '', domain: host }, split];
}
