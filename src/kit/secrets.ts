const SECRET = new RegExp(
  [
    'pass(word|wd|code)|secret|token|credential|privatekey|authorization|cookie',
    '^(key|var|vars|env|environment|environmentvariables|environmentjson|parameters|command)$',
    '^(syslogdrainurl|routeserviceurl)$',
  ].join('|'),
  'i',
);
const ADDRESS = /\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s"'<>]*[^\s"'<>.,;:!)]/gi;

/** Whether what stands under this name is a secret or may hold one, however the name is written. Logs and events ask here. */
export function isSecretName(name: string): boolean {
  return SECRET.test(name.replaceAll(/[_-]/g, ''));
}

/**
 * An address without what may be a secret in it: its user information, its query and its fragment. Of one that cannot be read,
 * where a password may stand anywhere, only the scheme is left.
 */
export function shownAddress(address: string): string {
  const start = address.indexOf('://');
  if (start < 0) return address.replace(/[?#].*$/s, '');
  const scheme = address.slice(0, start + 3);
  if (URL.parse(address) === null) return `${scheme}…`;
  const rest = address.slice(start + 3).replace(/[?#].*$/s, '');
  const end = rest.indexOf('/');
  const authority = end < 0 ? rest : rest.slice(0, end);
  return `${scheme}${authority.slice(authority.lastIndexOf('@') + 1)}${end < 0 ? '' : rest.slice(end)}`;
}

/** A text with every address in it as `shownAddress` shows it. */
export function withShownAddresses(text: string): string {
  return text.includes('://') ? text.replaceAll(ADDRESS, shownAddress) : text;
}
