import { releaseOf } from '../../cell/stack/packages.ts';
import { Apt } from '../../kit/debian/apt.ts';
import { findDebianMirrors, sourceLines } from '../../kit/debian/mirrors.ts';
import { CupolaError } from '../../kit/errors.ts';
import { together } from '../../kit/together.ts';
import { tool } from './tool.ts';

export interface DebianPackage {
  name: string;
  version: string;
  /** The .deb. */
  file: string;
}

/** The stack's own distribution, from which packages are fetched as files. The index is read once, at the first need, however many ask. */
export class DebianArchive {
  readonly #open: () => Promise<Pick<Apt, 'fetch' | 'close'>>;
  /** By name: several ask for the same. */
  readonly #fetched = new Map<string, Promise<DebianPackage>>();
  #apt: Promise<Pick<Apt, 'fetch' | 'close'>> | null = null;

  constructor(stack: string, open: () => Promise<Pick<Apt, 'fetch' | 'close'>> = () => openApt(stack)) {
    this.#open = open;
  }

  /** Packages as files, which are gone after close(). Throws `stack_unknown`, `command_failed`. */
  async fetch(names: readonly string[]): Promise<DebianPackage[]> {
    const missing = names.filter((name) => !this.#fetched.has(name));
    const fetching = this.#fetch(missing);
    for (const name of missing)
      this.#fetched.set(
        name,
        fetching.then((found) => foundIn(found, name)),
      );
    return together(names.map((name) => this.#fetched.get(name)!));
  }

  async #fetch(names: readonly string[]): Promise<DebianPackage[]> {
    if (names.length === 0) return [];
    this.#apt ??= this.#open();
    const apt = await this.#apt;
    return Promise.all((await apt.fetch(names)).map(describePackage));
  }

  async close(): Promise<void> {
    const apt = await this.#apt?.catch(() => null);
    await apt?.close();
  }
}

async function openApt(stack: string): Promise<Apt> {
  const release = releaseOf(stack);
  if (release === null) throw new CupolaError('stack_unknown', `no stack ${stack} is known`);
  const { suite, keyring } = release;
  return Apt.open({ sources: sourceLines(await findDebianMirrors(suite), suite, keyring) });
}

function foundIn(packages: readonly DebianPackage[], name: string): DebianPackage {
  const found = packages.find((one) => one.name === name);
  if (found === undefined) throw new CupolaError('dependency_missing', `the distribution did not give ${name}`);
  return found;
}

/** Throws `debian_package_invalid`. */
async function describePackage(file: string): Promise<DebianPackage> {
  const fields = await tool('dpkg-deb', ['-f', file, 'Package', 'Version']);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(fields)?.[1];
  const [name, version] = [field('Package'), field('Version')];
  if (name === undefined || version === undefined)
    throw new CupolaError('debian_package_invalid', `${file} is no package`);
  return { name, version, file };
}
