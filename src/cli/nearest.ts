/** ", did you mean X?" where one of the known words differs from it by a slip or two, else "". */
export function meant(word: string, known: readonly string[], show = (one: string): string => one): string {
  const [first] = known.map((one) => ({ one, slips: slips(word, one) })).sort((a, b) => a.slips - b.slips);
  return first && first.slips <= Math.max(1, word.length / 3) ? `; did you mean ${show(first.one)}?` : '';
}

/** How many letters have to be put in, taken away or changed to make one of the other (Levenshtein). */
function slips(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const letter of from) {
    const next = [row[0]! + 1];
    for (let index = 1; index <= to.length; index++) {
      const changed = row[index - 1]! + (to[index - 1] === letter ? 0 : 1);
      next.push(Math.min(changed, row[index]! + 1, next[index - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
