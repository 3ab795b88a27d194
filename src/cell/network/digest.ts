import { createHash } from 'node:crypto';

/** A short, stable name for a text. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}
