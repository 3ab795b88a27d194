/** resolv.conf(5) as text. */

/** Whose line it is. */
export interface NameServer {
  /** The installation's. */
  id: string;
  address: string;
}

/** As it stood above every installation's line before it named one. */
const FORMER_NOTE = '# The first name server is cupola\'s; "cupola destroy" removes it.';
/** All that had it. */
const FORMER_ADDRESS = /^127\.0\.53\.\d+$/;
/** With the address: whatever else comes to stand below it is not the installation's. */
const NOTE = /^# (\S+) is that of Cupola ([a-z]{3}); "cupola destroy" removes it\.$/;

function noteOf({ id, address }: NameServer): string {
  return `# ${address} is that of Cupola ${id}; "cupola destroy" removes it.`;
}

/** The addresses on its nameserver lines, in order. */
export function nameserversOf(text: string): string[] {
  return text.split('\n').flatMap((line) => addressOn(line) ?? []);
}

/**
 * The text with this installation's name server before all others: whoever starts last knows the domains of all. Round robin is taken
 * out: the machine's own name servers know none of them.
 */
export function addNameserver(text: string, own: NameServer): string {
  const others = without(text, (line) => line.address === own.address); // the installation that had this address is gone
  return `${noteOf(own)}\nnameserver ${own.address}\n${removeNameserver(withoutRotate(others), own)}`;
}

/** The text without this installation's name server, whatever address it had. What another one has at its address now stays. */
export function removeNameserver(text: string, own: NameServer): string {
  const rest = without(text, (line) => line.id === own.id || (line.id === null && line.address === own.address));
  const lines = rest.split('\n').filter((line) => NOTE.exec(line)?.[2] !== own.id); // somebody took the line below it
  return lines.join('\n');
}

/** The text as the machine would have it without any installation. */
export function withoutInstallations(text: string): string {
  const rest = without(text, (line) => line.note !== null);
  const lines = rest.split('\n').filter((line) => !NOTE.test(line));
  return lines.join('\n');
}

/** The installations whose lines are there, but for lines that do not say whose they are. */
export function installationsIn(text: string): string[] {
  return linesOf(text).flatMap(({ id }) => id ?? []);
}

export function withoutRotate(text: string): string {
  return text
    .split('\n')
    .map((line) => (/^[ \t]*options\b/.test(line) ? line.replace(/[ \t]+rotate\b/, '') : line))
    .join('\n');
}

interface Line {
  /** Which one of the text. */
  index: number;
  address: string;
  /** The comment above it, where that is an installation's. */
  note: string | null;
  id: string | null;
}

function linesOf(text: string): Line[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index): Line[] => {
    const address = addressOn(line);
    if (address === undefined) return [];
    const above = lines[index - 1] ?? '';
    const [, noted, id] = NOTE.exec(above) ?? [];
    if (id !== undefined && noted === address) return [{ index, address, note: above, id }];
    const isFormer = above === FORMER_NOTE && FORMER_ADDRESS.test(address);
    return [{ index, address, note: isFormer ? above : null, id: null }];
  });
}

function without(text: string, isGoing: (line: Line) => boolean): string {
  const going = linesOf(text)
    .filter(isGoing)
    .flatMap(({ index, note }) => (note === null ? [index] : [index - 1, index]));
  return text
    .split('\n')
    .filter((_, index) => !going.includes(index))
    .join('\n');
}

function addressOn(line: string): string | undefined {
  return /^[ \t]*nameserver[ \t]+(\S+)/.exec(line)?.[1];
}
