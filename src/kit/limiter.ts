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

/**
 * Lets `maximum` bodies of each owner run at a time; the others of that owner wait their turn in order, and nobody waits for
 * another owner's.
 */
export function createOwnersLimiter(maximum: number): <T>(owner: string, body: () => Promise<T>) => Promise<T> {
  const owners = new Map<string, { limit: ReturnType<typeof createLimiter>; bodies: number }>();
  return async (owner, body) => {
    const own = owners.get(owner) ?? { limit: createLimiter(maximum), bodies: 0 };
    owners.set(owner, own);
    own.bodies += 1;
    try {
      return await own.limit(body);
    } finally {
      own.bodies -= 1;
      if (own.bodies === 0) owners.delete(owner);
    }
  };
}
