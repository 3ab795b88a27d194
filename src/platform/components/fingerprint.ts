import { createHash } from 'node:crypto';

/** Computed at the first call: a fingerprint is of the code and the configuration this supervisor came with. */
export function once(compute: () => string): () => string {
  let value: string | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}

/** A short name for texts that are the same. */
export function digestOf(...texts: readonly string[]): string {
  return createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 16);
}
