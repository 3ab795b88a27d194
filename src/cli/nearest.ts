import { closestMatch } from 'leven';

/** "; did you mean X?" where one of the known words differs from it by a slip or two, else "". */
export function meant(word: string, known: readonly string[], show = (one: string): string => one): string {
  const near = closestMatch(word, known, { maxDistance: Math.max(1, Math.floor(word.length / 3)) });
  return near === undefined ? '' : `; did you mean ${show(near)}?`;
}
