import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import Type, { type Static, type TSchema } from 'typebox';
import { checkedJson } from '../../kit/checked.ts';
import type { GardenPaths } from './paths.ts';

/** As kit/process.ts has it. */
export const Identity = Type.Object({ pid: Type.Integer(), startTicks: Type.String() });

/** What the garden remembers of a container beyond its own life. A cell of the version before may have written it. */
export const ContainerRecord = Type.Object({
  handle: Type.String(),
  /** Gives address, uid range and names; not given to another while the record stands. */
  number: Type.Integer(),
  /** Only what is `ready` is adopted; the rest is removed. */
  state: Type.Enum(['creating', 'ready', 'destroying']),
  /** Boot of the machine it runs in. */
  bootId: Type.String(),
  init: Type.Union([Identity, Type.Null()]),
  /** Null: the layers are an image's. */
  stack: Type.Union([Type.String(), Type.Null()]),
  layers: Type.Array(Type.String()),
  /** The container's user where it is not vcap. */
  user: Type.Optional(Type.Object({ uid: Type.Integer(), gid: Type.Integer(), groups: Type.Array(Type.Integer()) })),
  limits: Type.Object({
    memoryBytes: Type.Number(),
    diskBytes: Type.Number(),
    pids: Type.Number(),
    cpuShares: Type.Number(),
  }),
  egressRules: Type.Array(
    Type.Object({
      protocol: Type.String(),
      destination: Type.String(),
      ports: Type.String(),
      type: Type.Integer(),
      code: Type.Integer(),
      log: Type.Boolean(),
    }),
  ),
  properties: Type.Record(Type.String(), Type.String()),
});
export type ContainerRecord = Static<typeof ContainerRecord>;

export async function saveRecord(paths: GardenPaths, record: ContainerRecord): Promise<void> {
  await writeJson(paths.container(record.number).record, record);
}

/** Every directory of a container, with its record unless it was cut off before that was written. */
export async function loadRecords(paths: GardenPaths): Promise<{ name: string; record: ContainerRecord | null }[]> {
  const names = await readdir(paths.containers).catch(() => []);
  return Promise.all(
    names.map(async (name) => ({ name, record: await readJson(paths.container(name).record, ContainerRecord) })),
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

/** Reads what `writeJson` wrote; null where there is none, and where it is not of that shape. */
export async function readJson<Shape extends TSchema>(path: string, shape: Shape): Promise<Static<Shape> | null> {
  try {
    return checkedJson(shape, await readFile(path, 'utf8'), { code: 'invalid_file', what: path });
  } catch {
    return null;
  }
}
