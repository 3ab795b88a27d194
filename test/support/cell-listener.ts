import assert from 'node:assert/strict';
import { run } from '../../src/kit/process.ts';
import { cellAddress } from '../../src/platform/addresses.ts';
import type { TestPlatform } from './platform.ts';

/** Where the first cell listens for the platform: "address:port" that the machine reaches and no container may. */
export async function cellListener({ layout }: TestPlatform): Promise<string> {
  const address = cellAddress(layout.settings, 0);
  const words = (await run('ss', ['-H', '-l', '-t', '-n', 'src', address])).split(/\s+/);
  const found = words.find((word) => word.startsWith(`${address}:`));
  assert.ok(found, `the cell listens at ${address}`);
  return found;
}
