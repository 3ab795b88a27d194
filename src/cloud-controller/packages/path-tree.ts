/** What lies at a place of an archive; a directory that no entry names is implied by what lies below it. */
type Place = 'file' | 'directory' | 'symlink' | 'implied';

/** Entries and the directories they imply. */
const MOST_PLACES = 300_000;

/**
 * The paths of an archive, each part of each looked at once: the time a path takes grows with its length, not with the sum of
 * the lengths of all that is above it.
 */
export class PathTree {
  /** By the number of the place above and the name. */
  readonly #numbers = new Map<string, number>();
  readonly #places: Place[] = ['implied'];

  /**
   * Puts something at a path without "." and "..". "twice": something else is there, perhaps a directory that another path
   * implies. "below": it lies below a file or a link, where what is below a link would be written where the link points.
   * "full": there are more places than are allowed.
   */
  put(path: string, as: Exclude<Place, 'implied'>): 'put' | 'twice' | 'below' | 'full' {
    let number = 0;
    let isNew = false;
    for (const part of path === '' ? [] : path.split('/')) {
      if (this.#places[number] === 'file' || this.#places[number] === 'symlink') return 'below';
      const key = `${number}/${part}`;
      const known = this.#numbers.get(key);
      isNew = known === undefined;
      number = known ?? this.#places.push('implied') - 1;
      if (number >= MOST_PLACES) return 'full';
      if (isNew) this.#numbers.set(key, number);
    }
    const there = this.#places[number];
    const isDirectory = there === 'implied' || there === 'directory';
    if (!isNew && !(as === 'directory' && isDirectory)) return 'twice';
    this.#places[number] = as;
    return 'put';
  }
}
