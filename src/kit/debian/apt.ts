import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CupolaError } from '../errors.ts';
import { sha256Of } from '../file-digest.ts';
import { PLAIN_ENVIRONMENT, run } from '../process.ts';
import { machineAptSettings, proxyVariables } from './machine-settings.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
/** Who fetches, for apt. */
const SANDBOX_USER = '_apt';
const MOST_MS = 30 * 60_000;

export interface AptOptions {
  /** Lines of sources.list(5), each with the keys that sign it. */
  sources: readonly string[];
  /** apt_preferences(5). */
  preferences?: string;
}

/** A package of a distribution, in the version that is meant. */
export interface PackageVersion {
  name: string;
  version: string;
}

/**
 * An apt that knows nothing of the machine's sources, keys, installed packages and settings but how it gets through to its mirrors, in a directory
 * of its own. The signature covers the index, the index the digest of each file. Nothing is installed: packages are fetched as files.
 */
export class Apt {
  readonly #home: string;

  private constructor(home: string) {
    this.#home = home;
  }

  /** Reads the index. To be closed. Throws `architecture_unknown`, `command_failed`. */
  static async open(options: AptOptions): Promise<Apt> {
    // apt fetches as an unprivileged user of its own, which cannot enter the platform's data directory.
    const home = await mkdtemp(join(tmpdir(), 'cupola-apt-'));
    const apt = new Apt(home);
    try {
      await prepare(home, options);
      await apt.#get(['update']);
      return apt;
    } catch (error) {
      await apt.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await rm(this.#home, { recursive: true, force: true });
  }

  /** These packages and all that they depend on, as they would be installed where nothing is. Throws `command_failed`. */
  async closureOf(names: readonly string[]): Promise<PackageVersion[]> {
    const said = await this.#get(['--simulate', '--no-install-recommends', 'install', ...names]);
    return [...said.matchAll(/^Inst (\S+) \((\S+) /gm)].map(([, name, version]) => ({
      name: name!,
      version: version!,
    }));
  }

  /**
   * Fetches packages, as NAME or NAME=VERSION; gives the files, which are gone after `close`. Throws `command_failed`, and `package_changed` where
   * one is not what the index says.
   */
  async fetch(names: readonly string[]): Promise<string[]> {
    const [fetched, kept] = await Promise.all(['fetched-', 'packages-'].map((name) => mkdtemp(join(this.#home, name))));
    await run('chown', [SANDBOX_USER, fetched!]);
    const digests = digestsOf(await this.#get(['--print-uris', 'download', ...names]));
    await this.#get(['download', ...names], fetched);
    const files = (await readdir(fetched!)).sort();
    // Whoever got hold of the one that fetches could still change them there.
    return Promise.all(files.map((file) => keep(join(fetched!, file), join(kept!, file), digests.get(file))));
  }

  #get(args: readonly string[], cwd = this.#home): Promise<string> {
    return run('apt-get', ['-qq', ...args], {
      env: { ...PLAIN_ENVIRONMENT, ...proxyVariables(), APT_CONFIG: join(this.#home, 'apt.conf') },
      cwd,
      timeoutMs: MOST_MS,
      showWords: true,
    });
  }
}

/** Of the files of packages, by their names. */
function digestsOf(uris: string): ReadonlyMap<string, string> {
  return new Map(
    [...uris.matchAll(/^'.*' (\S+) \d+ SHA256:([0-9a-f]{64})$/gm)].map(([, file, digest]) => [file!, digest!]),
  );
}

async function keep(fetched: string, kept: string, digest: string | undefined): Promise<string> {
  await copyFile(fetched, kept);
  if ((await sha256Of(kept)) !== digest)
    throw new CupolaError('package_changed', `${basename(kept)} is not what the index says`);
  return kept;
}

async function prepare(home: string, { sources, preferences = '' }: AptOptions): Promise<void> {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new CupolaError('architecture_unknown', `no packages for ${process.arch}`);
  // It may come through, and see nothing.
  await chmod(home, 0o711);
  const partial = ['lists/partial', 'archives/partial'].map((name) => join(home, name));
  for (const directory of [...partial, join(home, 'empty')]) await mkdir(directory, { recursive: true });
  await run('chown', [SANDBOX_USER, ...partial]);
  // Addresses of sources and proxies can have passwords in them.
  const write = (name: string, text: string) => writeFile(join(home, name), text, { mode: 0o600 });
  await write('sources.list', `${sources.join('\n')}\n`);
  await write('preferences', preferences);
  await write('status', '');
  await write(
    'apt.conf',
    `Dir::Etc::main "${home}/empty/none";
Dir::Etc::parts "${home}/empty";
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
Acquire::Languages "none";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
Dir::Etc::sourcelist "${home}/sources.list";
Dir::Etc::sourceparts "${home}/empty";
Dir::Etc::trusted "${home}/empty/none";
Dir::Etc::trustedparts "${home}/empty";
Dir::Etc::preferences "${home}/preferences";
Dir::Etc::preferencesparts "${home}/empty";
Dir::State::lists "${home}/lists";
Dir::State::status "${home}/status";
Dir::Cache "${home}";
Dir::Cache::archives "${home}/archives";
${(await machineAptSettings()).join('\n')}
`,
  );
}
