import { releaseOf } from '../../cell/stack/packages.ts';
import { Apt } from '../../kit/debian/apt.ts';
import { findDebianMirrors } from '../../kit/debian/mirrors.ts';
import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';

export interface DebianPackage {
  name: string;
  version: string;
  /** The .deb. */
  file: string;
}

/** The stack's own distribution, from which packages are fetched as files. The index is read once, at the first need, however many ask. */
export class DebianArchive {
  readonly #stack: string;
  #apt: Promise<Apt> | null = null;

  constructor(stack: string) {
    this.#stack = stack;
  }

  /** Packages as files, which are gone after close(). Throws `stack_unknown`, `command_failed`. */
  async fetch(names: readonly string[]): Promise<DebianPackage[]> {
    if (names.length === 0) return [];
    this.#apt ??= openApt(this.#stack);
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
  const { mirror, securityMirror } = await findDebianMirrors(release.suite, release.publicMirrors);
  const signed = `[signed-by=${release.keyring}]`;
  return Apt.open({
    sources: [
      `deb ${signed} ${mirror} ${release.suite} main`,
      `deb ${signed} ${securityMirror} ${release.suite}-security main`,
    ],
  });
}

/** Throws `debian_package_invalid`. */
async function describePackage(file: string): Promise<DebianPackage> {
  const fields = await run('dpkg-deb', ['-f', file, 'Package', 'Version']);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(fields)?.[1];
  const [name, version] = [field('Package'), field('Version')];
  if (name === undefined || version === undefined)
    throw new CupolaError('debian_package_invalid', `${file} is no package`);
  return { name, version, file };
}
