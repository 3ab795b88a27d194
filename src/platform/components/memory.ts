/* What programs of Node.js are told about memory when they are started. */

/** In MB: the young generation is three of them, and Node's 16 would be held from the first burst on. The log cache is for bursts. */
export const HEAP: readonly string[] = ['--max-semi-space-size=4'];
/** glibc keeps what each thread gave back, by arena. */
export const ARENAS: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' };
