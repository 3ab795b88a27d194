import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type EngineTree, pinEngines, runEngine, unpinOthers } from '../../../kit/engines.ts';
import { CupolaError } from '../../../kit/errors.ts';
import { type RunOptions, run } from '../../../kit/process.ts';
import { engineImages } from '../image/image.ts';

/** The programs of one major version, in whichever tree they are. */
export interface PostgresqlPrograms {
  version: number;
  /** The root directory of the image that has them; null: the machine itself. */
  root: string | null;
  /** As `run`, of one of them. */
  run(name: string, args: readonly string[], options?: RunOptions): Promise<string>;
}

/** Where programs may be. */
export interface ProgramPlaces {
  /** The root directory of the image that this process has entered; null: it runs the machine's engines. */
  chosen: string | null;
  /** Of all images of the installation. */
  images: string;
  /** The file for a namespace of another image than the chosen one. */
  pin(): string;
}

const HOME = '/usr/lib/postgresql';
/** Namespaces of other images, beside those of their components. */
export const FORMER_PIN = 'postgresql';

/** Where the programs of a major version lie, for whoever runs them. */
export function binDirectory(version: number): string {
  return join(HOME, String(version), 'bin');
}

/** The major versions that a tree has, the newest first. */
export function versionsIn(root: string | null): number[] {
  const home = join(root ?? '/', HOME);
  const names = existsSync(home) ? readdirSync(home) : [];
  return names
    .filter((name) => /^\d+$/.test(name) && existsSync(join(home, name, 'bin/postgres')))
    .map(Number)
    .sort((one, other) => other - one);
}

/** The newest of the chosen image, which new clusters are made with. Throws `engine_missing`. */
export function newestPrograms(root: string | null): PostgresqlPrograms {
  const [version] = versionsIn(root);
  if (version === undefined) throw new CupolaError('engine_missing', 'PostgreSQL is not installed');
  return programsIn(root, version, runEngine);
}

/** Of a major version: of the chosen image, another one of the installation, or the machine. Throws `engine_missing`. */
export async function programsOf(version: number, places: ProgramPlaces): Promise<PostgresqlPrograms> {
  const root = await rootWith(version, places);
  if (root === places.chosen) return programsIn(root, version, runEngine);
  if (root === null) return machinePrograms(version);
  const pin = places.pin();
  await pinEngines({ pin, root });
  await unpinOthers(pin, FORMER_PIN);
  return pinnedPrograms(version, { pin, root });
}

/** Of the tree that a namespace has. */
export function pinnedPrograms(version: number, { pin, root }: EngineTree): PostgresqlPrograms {
  return programsIn(root, version, (command, args, options) => run(command, args, { ...options, within: pin }));
}

/** Of the machine itself. */
export function machinePrograms(version: number): PostgresqlPrograms {
  return programsIn(null, version, run);
}

/** Throws `engine_missing` where no tree has that version. */
export async function requirePrograms(version: number, places: Omit<ProgramPlaces, 'pin'>): Promise<void> {
  await rootWith(version, places);
}

async function rootWith(version: number, { chosen, images }: Omit<ProgramPlaces, 'pin'>): Promise<string | null> {
  const others = (await engineImages(images)).map(({ root }) => root);
  const root = [chosen, ...others, null].find((one) => versionsIn(one).includes(version));
  if (root !== undefined) return root;
  throw new CupolaError(
    'engine_missing',
    `the data are of PostgreSQL ${version}, and neither the machine nor an image of the engines has its programs; install the package postgresql-${version}`,
  );
}

function programsIn(root: string | null, version: number, runs: typeof run): PostgresqlPrograms {
  return {
    version,
    root,
    run: (name, args, options) => runs(join(binDirectory(version), name), args, options),
  };
}
