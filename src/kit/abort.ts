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

export function onAbort(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then();
  else signal.addEventListener('abort', then, { once: true });
}
