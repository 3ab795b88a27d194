import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import type { ProcessIdentity } from '../../kit/process.ts';
import type { PlainEgressRule } from '../network/egress.ts';
import type { ContainerLimits, ContainerUser } from './garden.ts';
import type { GardenPaths } from './paths.ts';

/** What the garden remembers of a container beyond its own life. */
export interface ContainerRecord {
  handle: string;
  /** Gives address, uid range and names; not given to another while the record stands. */
  number: number;
  /** Only what is `ready` is adopted; the rest is removed. */
  state: 'creating' | 'ready' | 'destroying';
  /** Boot of the machine it runs in. */
  bootId: string;
  init: ProcessIdentity | null;
  /** Null: the layers are an image's. */
  stack: string | null;
  layers: string[];
  /** The container's user where it is not vcap. */
  user?: ContainerUser;
  limits: ContainerLimits;
  egressRules: PlainEgressRule[];
  properties: Record<string, string>;
}

export async function saveRecord(paths: GardenPaths, record: ContainerRecord): Promise<void> {
  await writeJson(paths.container(record.number).record, record);
}

/** Every directory of a container, with its record unless it was cut off before that was written. */
export async function loadRecords(paths: GardenPaths): Promise<{ name: string; record: ContainerRecord | null }[]> {
  const names = await readdir(paths.containers).catch(() => []);
  return Promise.all(
    names.map(async (name) => ({ name, record: await readJson<ContainerRecord>(paths.container(name).record) })),
  );
}

export async function currentBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Either the old or the new content is there, never half of one. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Reads what `writeJson` wrote; null where there is none. */
export async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return null;
  }
}
