/** resolv.conf(5) as text. */

/** Whose line it is. */
export interface NameServer {
  /** The installation's. */
  id: string;
  address: string;
}

/** What each other installation keeps of the time before it, by id: where it passes names on to. */
export type KeptCopies = ReadonlyMap<string, string>;

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
 * The text with this installation's name server before all others, and behind those that pass names on to it: behind it they would not
 * be asked, and it does not ask them. Round robin is taken out: only the first knows the domain.
 */
export function addNameserver(text: string, own: NameServer, kept: KeptCopies = new Map()): string {
  const lines = vacate(withoutRotate(text), own).split('\n');
  const before = leadingTo(own, text, kept);
  const place = lines.findLastIndex((line) => before.has(addressOn(line) ?? '')) + 1;
  return lines.toSpliced(place, 0, noteOf(own), `nameserver ${own.address}`).join('\n');
}

/** The text without this installation's name server, whatever address it had. What another one has at its address now stays. */
export function removeNameserver(text: string, own: NameServer): string {
  const rest = without(text, (line) => line.id === own.id || (line.id === null && line.address === own.address));
  const lines = rest.split('\n').filter((line) => NOTE.exec(line)?.[2] !== own.id); // somebody took the line below it
  return lines.join('\n');
}

/** The same, for an installation that has the address now: whose line that was is gone. */
function vacate(text: string, own: NameServer): string {
  return removeNameserver(
    without(text, (line) => line.address === own.address),
    own,
  );
}

export function withoutRotate(text: string): string {
  return text
    .split('\n')
    .map((line) => (/^[ \t]*options\b/.test(line) ? line.replace(/[ \t]+rotate\b/, '') : line))
    .join('\n');
}

/**
 * What this installation is to keep: the text as it would be without it, or what it kept (`before`) where its line is there still.
 * With the installations whose lines are there now, except those that pass names on to this one, else a name would go round. One to
 * which it passed names on stays, though its line is gone: the name server asks there until it starts anew.
 */
export function textToKeep(text: string, own: NameServer, before: string | null, kept: KeptCopies): string {
  const askers = leadingTo(own, text, kept);
  const isThere = nameserversOf(text).includes(own.address);
  const base = isThere && before !== null ? before : vacate(text, own);
  const shown = new Set([...nameserversOf(base), ...askers, own.address]);
  const others = new Map<string, string>();
  for (const { note, address } of [...linesOf(before ?? ''), ...linesOf(text)])
    if (note !== null && !shown.has(address)) others.set(address, note);
  const remaining = without(base, (line) => askers.has(line.address));
  return [...Array.from(others, ([address, note]) => `${note}\nnameserver ${address}\n`), remaining].join('');
}

/** The addresses of the installations that pass names on to this one, be it by way of another. */
function leadingTo(own: NameServer, text: string, kept: KeptCopies): Set<string> {
  const found = new Set([own.address]);
  for (let known = 0; known < found.size; ) {
    known = found.size;
    for (const [id, copy] of kept) {
      if (!nameserversOf(copy).some((address) => found.has(address))) continue;
      const address = addressOf(id, copy);
      if (address !== undefined) found.add(address);
    }
  }
  found.delete(own.address);
  return found;

  function addressOf(id: string, copy: string): string | undefined {
    const noted = [text, ...kept.values()].flatMap(linesOf).find((line) => line.id === id);
    if (noted) return noted.address;
    // One whose line names nobody stands right above what it keeps.
    const others = new Set([...nameserversOf(copy), own.address]);
    return linesOf(text).findLast((line) => line.note === FORMER_NOTE && !others.has(line.address))?.address;
  }
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
