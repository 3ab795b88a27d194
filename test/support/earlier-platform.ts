import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../src/kit/process.ts';
import { officialCf } from './official-cf.ts';
import { type CfOptions, ROOT, TestPlatform } from './platform.ts';

/** Every list of the API that says what an operator or a developer made, and what became of it. */
const LISTS = [
  'apps',
  'builds',
  'deployments',
  'domains',
  'droplets',
  'isolation_segments',
  'organization_quotas',
  'organizations',
  'packages',
  'processes',
  'roles',
  'routes',
  'security_groups',
  'space_quotas',
  'spaces',
  'stacks',
  'tasks',
  'users',
  'audit_events',
] as const;
export type List = (typeof LISTS)[number];

/** What the API lists, by guid, and what it says of things that no list has. */
export interface Listed {
  lists: Readonly<Record<List, ReadonlyMap<string, Readonly<Record<string, unknown>>>>>;
  alone: Readonly<Record<string, unknown>>;
}

/** Whether the commit is in this clone: a shallow one has the latest alone. */
export function hasCommit(commit: string): boolean {
  return spawnSync('git', ['-C', ROOT, 'cat-file', '-e', `${commit}^{commit}`]).status === 0;
}

/** A platform that an earlier commit of the project put up, and whose code changes while it has users. */
export class EarlierPlatform extends TestPlatform {
  /** The checkout whose code the next command is. */
  project: string;
  readonly #earlier: string;
  readonly #commit: string;
  readonly #cf = officialCf() ?? '';

  constructor(commit: string, options: { httpsPort: number; domain: string }) {
    super({ ...options, unpackAhead: true }); // it knows of nothing else
    this.#commit = commit;
    mkdirSync(join(ROOT, '.cache'), { recursive: true });
    this.#earlier = mkdtempSync(join(ROOT, '.cache/earlier-'));
    chmodSync(this.#earlier, 0o755); // components of other accounts read it
    this.project = this.#earlier;
  }

  override cupola(command: string, args: string[] = [], timeoutMs = 120_000, project = this.project): Promise<string> {
    return super.cupola(command, args, timeoutMs, project);
  }

  /** The official cf as the administrator, or with the home of somebody else. */
  as(home: string, ...args: string[]): Promise<string> {
    return this.cf(this.#cf, args, { env: { CF_HOME: home } });
  }

  run(...args: string[]): Promise<string> {
    return this.as(this.home, ...args);
  }

  /** A user signs in, with a home of their own. */
  async signInAs(home: string, name: string, password: string): Promise<void> {
    mkdirSync(home, { recursive: true });
    const options: CfOptions = { env: { CF_HOME: home }, password };
    await this.cf(this.#cf, ['api', this.credentials.api], options);
    await this.cf(this.#cf, ['auth', name], options);
  }

  /** The earlier code, with packages of its own, up and signed in; its org has the space `dev`. */
  async prepare(org: string): Promise<void> {
    const archive = join(this.#earlier, 'archive.tar');
    await run('git', ['-C', ROOT, 'archive', '--output', archive, this.#commit], { showWords: true });
    await run('tar', ['-x', '-f', archive, '-C', this.#earlier], { showWords: true });
    rmSync(archive);
    await this.upWithOrg(this.#cf, org);
  }

  /** A file of the test's. */
  file(name: string, content: string): string {
    const path = join(this.home, name);
    writeFileSync(path, content);
    return path;
  }

  async listed(paths: readonly string[]): Promise<Listed> {
    const lists = {} as Record<List, ReadonlyMap<string, Readonly<Record<string, unknown>>>>;
    for (const list of LISTS) {
      const { resources } = await this.#get(`/v3/${list}?per_page=5000`);
      lists[list] = new Map(
        (resources as Record<string, unknown>[]).map((resource) => [String(resource['guid']), resource]),
      );
    }
    const alone: Record<string, unknown> = {};
    for (const path of paths) alone[path] = await this.#get(path);
    return { lists, alone };
  }

  async #get(path: string): Promise<Record<string, unknown>> {
    return JSON.parse(await this.run('curl', '--fail', path));
  }

  override removeFiles(): void {
    super.removeFiles();
    if (existsSync(this.#earlier)) rmSync(this.#earlier, { recursive: true, force: true });
  }
}
