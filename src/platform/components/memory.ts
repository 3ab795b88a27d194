/* What programs of Node.js are told about memory when they are started. */

/** In MB: the young generation is three of them, and Node's 16 would be held from the first burst on. */
export const HEAP: readonly string[] = ['--max-semi-space-size=4'];
/** Of the log cache, which is for bursts: its lines lie outside of the heap, and how much garbage may lie there goes by the heap's limit. */
export const HEAP_OF_LOGS: readonly string[] = ['--max-semi-space-size=6', '--max-old-space-size=512'];
/**
 * glibc keeps what each thread gave back, by arena; and once a large block was given back, it takes blocks of that size from the arena
 * too, where each keeps all below it: so it is told where that begins.
 */
export const MALLOC: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '131072',
};
