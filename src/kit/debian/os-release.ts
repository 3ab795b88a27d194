import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a system below `root` says of itself, os-release(5); nothing where it says nothing. */
export function osRelease(root = '/'): ReadonlyMap<string, string> {
  const path = ['etc/os-release', 'usr/lib/os-release'].map((name) => join(root, name)).find(existsSync);
  const text = path === undefined ? '' : readFileSync(path, 'utf8');
  return new Map([...text.matchAll(/^([A-Z_]+)="?([^"\n]*)"?$/gm)].map(([, field, value]) => [field!, value!]));
}
