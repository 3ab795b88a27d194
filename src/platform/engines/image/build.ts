import { chmod, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { keepCopyrights } from '../../../kit/copyrights.ts';
import { Apt, type AptOptions, type PackageVersion } from '../../../kit/debian/apt.ts';
import { CupolaError } from '../../../kit/errors.ts';
import { createLimiter } from '../../../kit/limiter.ts';
import { run } from '../../../kit/process.ts';
import { FILES_OF, isLeftOut, PACKAGES, PROGRAMS, REMOVED } from './packages.ts';

// This file and packages.ts are the recipe of the image (image.ts).

const MINUTES = 60_000;
const AT_ONCE = availableParallelism();
/** Others unpack into it what they have in directories that it makes links of. */
const FIRST = 'base-files_';

/** A package in the image, as dpkg knows it. */
export interface ImagePackage {
  name: string;
  version: string;
  architecture: string;
  /** What it was built from, where that has another name. */
  source?: string;
}

/** What the distribution has just now for an image. To be closed. */
export class ImageSource {
  readonly #apt: Apt;
  readonly #packages: readonly PackageVersion[];

  private constructor(apt: Apt, packages: readonly PackageVersion[]) {
    this.#apt = apt;
    this.#packages = packages;
  }

  /** Reads the distribution's index. Throws `command_failed`. */
  static async open(options: AptOptions): Promise<ImageSource> {
    const apt = await Apt.open(options);
    try {
      const names = Object.keys(PACKAGES);
      const needed = (await apt.closureOf(names)).filter(({ name }) => !isLeftOut(name));
      const missing = names.filter((name) => !needed.some((one) => one.name === name));
      if (missing.length > 0) throw new CupolaError('engine_missing', `no package brings ${missing.join(', ')}`);
      const files = await Promise.all(
        FILES_OF.map(async (name) => (await apt.closureOf([name])).find((one) => one.name === name)!),
      );
      return new ImageSource(apt, [...needed, ...files]);
    } catch (error) {
      await apt.close();
      throw error;
    }
  }

  get packages(): readonly PackageVersion[] {
    return this.#packages;
  }

  async close(): Promise<void> {
    await this.#apt.close();
  }

  /**
   * Makes the image's tree in an empty directory. No program of a package runs: what they would do to a machine, an image does not need.
   * Gives what is in it. Throws `command_failed`, `engine_image_invalid`.
   */
  async build(root: string, progress: (text: string) => void): Promise<ImagePackage[]> {
    progress(`Fetching ${this.#packages.length} packages`);
    const files = await this.#apt.fetch(this.#packages.map(({ name, version }) => `${name}=${version}`));
    progress('Extracting the packages');
    const inTurn = createLimiter(AT_ONCE);
    const extract = (file: string) =>
      run('dpkg-deb', ['--extract', file, root], { timeoutMs: 5 * MINUTES, showWords: true });
    const first = files.filter((file) => basename(file).startsWith(FIRST));
    for (const file of first) await extract(file);
    await Promise.all(files.filter((file) => !first.includes(file)).map((file) => inTurn(() => extract(file))));
    const known = await Promise.all(files.map((file) => inTurn(() => describe(file))));
    for (const path of REMOVED) await rm(join(root, path), { recursive: true, force: true });
    await keepCopyrights(join(root, 'usr/share/doc'));
    await stripRights(join(root, 'usr'));
    await writePackageDatabase(root, known);
    progress('Trying the engines');
    await tryPrograms(root);
    return known.map(({ fields }) => packageOf(fields));
  }
}

interface Described {
  fields: ReadonlyMap<string, string>;
  control: string;
}

async function describe(file: string): Promise<Described> {
  const control = await run('dpkg-deb', ['--field', file], { showWords: true });
  const fields = new Map([...control.matchAll(/^([\w-]+): (.*)$/gm)].map(([, name, value]) => [name!, value!]));
  return { fields, control };
}

function packageOf(fields: Described['fields']): ImagePackage {
  const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map((field) => fields.get(field));
  if (name === undefined || version === undefined || architecture === undefined)
    throw new CupolaError('engine_image_invalid', 'a package has no name, version or architecture');
  const source = fields.get('Source')?.split(' ')[0];
  return { name, version, architecture, ...(source === undefined ? {} : { source }) };
}

/** dpkg's own list, by which scanners know what is in a tree. */
async function writePackageDatabase(root: string, known: readonly Described[]): Promise<void> {
  const directory = join(root, 'var/lib/dpkg');
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const entries = known.map(({ control }) => control.trimEnd().replace('\n', '\nStatus: install ok installed\n'));
  await writeFile(join(directory, 'status'), `${entries.join('\n\n')}\n`);
  await mkdir(join(root, 'etc'), { mode: 0o755 });
  await writeFile(join(root, 'etc/os-release'), await run('cat', [join(root, 'usr/lib/os-release')]));
}

/** No file of an image gives anybody more than they have, and nobody but root changes one. */
async function stripRights(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await stripRights(path);
    if (!entry.isDirectory() && !entry.isFile()) continue;
    const { mode } = await lstat(path);
    if (mode & 0o6022) await chmod(path, mode & 0o1755);
  }
}

async function tryPrograms(root: string): Promise<void> {
  const script = `mount --bind "$1" /usr
shift
for program in "$@"; do
  $program >/dev/null 2>&1 </dev/null || { echo "$program" >&2; exit 1; }
done`;
  const words = PROGRAMS.map((program) => program.join(' '));
  await run('unshare', ['--mount', 'sh', '-ec', script, 'sh', join(root, 'usr'), ...words], { showWords: true }).catch(
    (cause: unknown) => {
      throw new CupolaError('engine_image_invalid', 'an engine of the image does not start', { cause });
    },
  );
}
