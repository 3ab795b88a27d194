import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';

const mallocTrim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');

const BEGUN_MS = 10_000;
const LOOK_MS = 20_000;
/** What is worth a look at each free piece. */
const GROWN_BYTES = 4 * 1024 ** 2;

export interface MemoryReturn {
  begunMs?: number;
  lookMs?: number;
  /** Clears the heap too whenever more is held: for a process in which a pause of 50 ms keeps nobody waiting. */
  pauses?: boolean;
}

/**
 * Gives the machine back what this process does not need any more, as long as it runs. What is read, unpacked or packed is in memory of the C
 * library's, which keeps nearly all that was ever freed: a cell had 70 MB of it after it had unpacked the buildpacks. And the heap keeps what a
 * start took until much more is asked of it, so that it is cleared once, when the process has begun.
 */
export function returnMemory({ begunMs = BEGUN_MS, lookMs = LOOK_MS, pauses = false }: MemoryReturn = {}): void {
  let kept = 0;
  const look = (clears: boolean): void => {
    if (process.memoryUsage.rss() < kept + GROWN_BYTES) return;
    if (clears) collectGarbage();
    mallocTrim(0);
    kept = process.memoryUsage.rss();
  };
  setTimeout(() => {
    look(true);
    setInterval(() => look(pauses), lookMs).unref();
  }, begunMs).unref();
}

/** Node.js gives this to programs that were started with the flag alone. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  setFlagsFromString('--no-expose-gc');
}
