/*
 * How the words of an option are read. What cannot be read is undefined, which no option accepts: its own shape and sentence say what
 * is wrong.
 */

/** The words an option was given, one for each time. */
export type Words = readonly string[];

/** Of an option that was given twice the last one counts. */
export function text(words: Words): string | undefined {
  return words.at(-1);
}

export function whole(words: Words): number | undefined {
  const last = text(words) ?? '';
  return /^\d+$/.test(last) ? Number(last) : undefined;
}

/** "on" or "off". */
export function onOrOff(words: Words): boolean | undefined {
  const last = text(words);
  return last === 'on' ? true : last === 'off' ? false : undefined;
}

/** All of them. */
export function list(words: Words): string[] {
  return [...words];
}

/** "one,other"; "none" for an empty list. */
export function commaSeparated(words: Words): string[] {
  const last = text(words) ?? '';
  return last === 'none' ? [] : last.split(',').map((part) => part.trim());
}

/** "NAME=VALUE" each. */
export function variables(words: Words): Record<string, string> | undefined {
  const pairs = words.map((word) => /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(word));
  if (pairs.includes(null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
}

/** "cell-1=secure,cell-2=secure" as the tags of each cell, by number. A tag is an isolation segment's name. */
export function tagsByCell(words: Words): string[][] | undefined {
  const tags: string[][] = [];
  for (const part of (text(words) ?? '').split(',')) {
    const [, number, tag] = /^cell-([0-7])=([^,=]{1,250})$/.exec(part.trim()) ?? [];
    if (number === undefined || tag === undefined) return undefined;
    while (tags.length <= Number(number)) tags.push([]);
    tags[Number(number)]!.push(tag);
  }
  return tags;
}
