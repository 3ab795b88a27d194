interface LinkedSignal extends Disposable {
  signal: AbortSignal;
  release: () => void;
}

/**
 * A signal that aborts with the first of `sources`. Unlike `AbortSignal.any` the sources hold it, so it cannot be
 * collected as garbage while somebody merely sleeps on it; `release` lets go of long-lived sources.
 */
export function linkSignals(...sources: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const listeners = sources.map((source) => ({ source, abort: () => controller.abort(source.reason) }));
  for (const { source, abort } of listeners) {
    if (source.aborted) abort();
    else source.addEventListener('abort', abort, { once: true });
  }
  const release = (): void => {
    for (const { source, abort } of listeners) source.removeEventListener('abort', abort);
  };
  return { signal: controller.signal, release, [Symbol.dispose]: release };
}

/** For what a block begins (`using`): its signal aborts with the first of `sources`, and when the block is left, however that is. */
export function blockSignal(...sources: readonly AbortSignal[]): Disposable & { signal: AbortSignal } {
  const left = new AbortController();
  const { signal, release } = linkSignals(...sources, left.signal);
  return {
    signal,
    [Symbol.dispose]: () => {
      left.abort();
      release();
    },
  };
}

export function onAbort(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then();
  else signal.addEventListener('abort', then, { once: true });
}

/** What `promise` gives; rejects as soon as `signal` aborts, with its reason, whatever becomes of `promise` then. */
export async function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  onAbort(signal, abort);
  try {
    return await Promise.race([aborted.promise, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
