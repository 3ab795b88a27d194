import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPackageSources } from '../../cell/stack/package-sources.ts';
import { releaseOf, type StackRelease } from '../../cell/stack/packages.ts';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

export interface DebianPackage {
  name: string;
  version: string;
  /** The .deb. */
  file: string;
}

/**
 * The stack's own distribution, from which packages are fetched as files; nothing is installed. apt works in a directory of
 * its own with the stack's sources and signing keys: the signature covers the index, the index the digest of each file. The
 * index is read once, at the first need, however many ask.
 */
export class DebianArchive {
  readonly #stack: string;
  #home: Promise<string> | null = null;

  constructor(stack: string) {
    this.#stack = stack;
  }

  /** Packages as files, which are gone after close(). Throws `stack_unknown`, `command_failed`. */
  async fetch(names: readonly string[]): Promise<DebianPackage[]> {
    if (names.length === 0) return [];
    this.#home ??= openHome(this.#stack);
    const home = await this.#home;
    const target = await mkdtemp(join(home, 'packages-'));
    await run('chown', ['_apt', target]);
    const env = { ...PLAIN_ENVIRONMENT, APT_CONFIG: join(home, 'apt.conf') };
    await run('apt-get', ['-qq', 'download', ...names], { env, cwd: target, timeoutMs: 300_000, showWords: true });
    const fetched = await readdir(target);
    return Promise.all(fetched.sort().map((file) => describe(join(target, file))));
  }

  async close(): Promise<void> {
    const home = await this.#home?.catch(() => null);
    if (home) await rm(home, { recursive: true, force: true });
  }
}

async function openHome(stack: string): Promise<string> {
  const release = releaseOf(stack);
  if (release === null) throw new CupolaError('stack_unknown', `no stack ${stack} is known`);
  // apt reads and writes as its own unprivileged user, which cannot enter the platform's data directory.
  const home = await mkdtemp(join(tmpdir(), 'cupola-apt-'));
  try {
    await run('chmod', ['755', home]);
    const settings = await prepare(home, release);
    await run('apt-get', ['-qq', 'update'], {
      env: { ...PLAIN_ENVIRONMENT, APT_CONFIG: settings },
      timeoutMs: 300_000,
      showWords: true,
    });
    return home;
  } catch (error) {
    await rm(home, { recursive: true, force: true });
    throw error;
  }
}

async function describe(file: string): Promise<DebianPackage> {
  const fields = await run('dpkg-deb', ['-f', file, 'Package', 'Version']);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(fields)?.[1];
  const [name, version] = [field('Package'), field('Version')];
  if (name === undefined || version === undefined)
    throw new CupolaError('debian_package_invalid', `${file} is no package`);
  return { name, version, file };
}

/** Gives the path of an apt configuration that knows nothing of the machine's sources, keys and installed packages. */
async function prepare(home: string, release: StackRelease): Promise<string> {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new CupolaError('architecture_unknown', `no packages for ${process.arch}`);
  for (const name of ['lists/partial', 'archives/partial', 'empty']) {
    await mkdir(join(home, name), { recursive: true });
  }
  await run('chown', ['-R', '_apt', join(home, 'lists'), join(home, 'archives')]);
  const { mirror, securityMirror } = await findPackageSources(release);
  const signed = `[signed-by=${release.keyring}]`;
  await writeFile(
    join(home, 'sources.list'),
    `deb ${signed} ${mirror} ${release.suite} main\ndeb ${signed} ${securityMirror} ${release.suite}-security main\n`,
  );
  await writeFile(join(home, 'status'), '');
  const settings = join(home, 'apt.conf');
  await writeFile(
    settings,
    `APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
Dir::Etc::sourcelist "${home}/sources.list";
Dir::Etc::sourceparts "${home}/empty";
Dir::Etc::trusted "${home}/empty/none";
Dir::Etc::trustedparts "${home}/empty";
Dir::Etc::preferencesparts "${home}/empty";
Dir::State::lists "${home}/lists";
Dir::State::status "${home}/status";
Dir::Cache "${home}";
Dir::Cache::archives "${home}/archives";
`,
  );
  return settings;
}
