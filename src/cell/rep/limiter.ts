/** Lets `maximum` bodies run at a time; the others wait their turn in order. */
export function createLimiter(maximum: number): <T>(body: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (body) => {
    if (running >= maximum) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push(resolve);
      await promise; // the one that ended hands its place over
    } else {
      running += 1;
    }
    try {
      return await body();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
