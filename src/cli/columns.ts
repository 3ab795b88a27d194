/** No line that a command says of itself is longer: a terminal has that many characters where nobody made it wider. */
const WIDTH = 80;
/** What is longer stands on a line of its own, and what belongs to it below. */
const LONGEST_LEFT = 24;

/** The words of a text in lines of at most so many characters. A word that is longer stays whole. */
export function wrap(text: string, width = WIDTH): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Pairs as two columns: names on the left, what is said of them wrapped beside them. */
export function columns(rows: readonly (readonly [left: string, right: string])[]): string[] {
  const width = Math.min(LONGEST_LEFT, Math.max(0, ...rows.map(([left]) => left.length)));
  return rows.flatMap(([left, right]) => {
    const lines = wrap(right, WIDTH - width - 4);
    const fits = left.length <= width;
    const [first = '', ...others] = fits ? lines : ['', ...lines];
    return [`  ${left.padEnd(width)}  ${first}`.trimEnd(), ...others.map((line) => `${' '.repeat(width + 4)}${line}`)];
  });
}
