import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const FIVE_MINUTES_MS = 300_000;

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
 * An apt that knows nothing of the machine's sources, keys and installed packages, in a directory of its own. The signature covers the
 * index, the index the digest of each file. Nothing is installed: packages are fetched as files.
 */
export class Apt {
  readonly #home: string;

  private constructor(home: string) {
    this.#home = home;
  }

  /** Reads the index. To be closed. Throws `architecture_unknown`, `command_failed`. */
  static async open(options: AptOptions): Promise<Apt> {
    // apt reads and writes as its own unprivileged user, which cannot enter the platform's data directory.
    const home = await mkdtemp(join(tmpdir(), 'cupola-apt-'));
    const apt = new Apt(home);
    try {
      await run('chmod', ['755', home]);
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

  /** Fetches packages, as NAME or NAME=VERSION; gives the files, which are gone after `close`. Throws `command_failed`. */
  async fetch(names: readonly string[]): Promise<string[]> {
    const target = await mkdtemp(join(this.#home, 'packages-'));
    await run('chown', ['_apt', target]);
    await this.#get(['download', ...names], target);
    return (await readdir(target)).sort().map((file) => join(target, file));
  }

  #get(args: readonly string[], cwd = this.#home): Promise<string> {
    const proxies = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    return run('apt-get', ['-qq', ...args], {
      env: { ...PLAIN_ENVIRONMENT, ...Object.fromEntries(proxies), APT_CONFIG: join(this.#home, 'apt.conf') },
      cwd,
      timeoutMs: FIVE_MINUTES_MS,
      showWords: true,
    });
  }
}

async function prepare(home: string, { sources, preferences = '' }: AptOptions): Promise<void> {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new CupolaError('architecture_unknown', `no packages for ${process.arch}`);
  for (const name of ['lists/partial', 'archives/partial', 'empty']) {
    await mkdir(join(home, name), { recursive: true });
  }
  await run('chown', ['-R', '_apt', join(home, 'lists'), join(home, 'archives')]);
  await writeFile(join(home, 'sources.list'), `${sources.join('\n')}\n`);
  await writeFile(join(home, 'preferences'), preferences);
  await writeFile(join(home, 'status'), '');
  await writeFile(
    join(home, 'apt.conf'),
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
Dir::Etc::preferences "${home}/preferences";
Dir::Etc::preferencesparts "${home}/empty";
Dir::State::lists "${home}/lists";
Dir::State::status "${home}/status";
Dir::Cache "${home}";
Dir::Cache::archives "${home}/archives";
`,
  );
}
