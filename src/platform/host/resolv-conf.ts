/** resolv.conf(5) as text. */

const NOTE = '# The first name server is cupola\'s; "cupola destroy" removes it.';

/** The addresses on its nameserver lines, in order. */
export function nameserversOf(text: string): string[] {
  return [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(([, address]) => address!);
}

/** The text with a name server before all others. Round robin is taken out: only the first knows the domain. */
export function addNameserver(text: string, address: string): string {
  const rest = text
    .split('\n')
    .map((line) => (/^[ \t]*options\b/.test(line) ? line.replace(/[ \t]+rotate\b/, '') : line))
    .join('\n');
  return `${NOTE}\nnameserver ${address}\n${rest}`;
}

/** The text without that name server. */
export function removeNameserver(text: string, address: string): string {
  const lines = text.split('\n');
  return lines
    .filter((line, index) => {
      const ours = (candidate: string | undefined): boolean => nameserversOf(candidate ?? '')[0] === address;
      return !ours(line) && !(line === NOTE && ours(lines[index + 1]));
    })
    .join('\n');
}
