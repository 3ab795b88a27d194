import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { readFileLater } from './streams.ts';

/** In hexadecimal. Throws what reading it throws. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(readFileLater(file), hash);
  return hash.digest('hex');
}
