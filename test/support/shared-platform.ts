import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { shownBuildpacks } from '../../src/platform/system-buildpacks.ts';
import { eventually, TestPlatform } from './platform.ts';

export const SHARED_PLACE = { httpsPort: 8502, domain: 'shared.cupola.localhost' };
/** The variable that tells the files where the platform's data lies. */
export const SHARED_DATA = 'CUPOLA_TEST_SHARED_DATA';
/** Of docker.test.ts: the operator names both. */
export const OPEN_REGISTRY = 22_210;
export const PRIVATE_REGISTRY = 22_211;
/** What any of the files needs. */
export const SHARED_OPTIONS = [
  // A task may ask for more disk than there is: it waits.
  ...['--max-app-disk', '1000000'],
  ...[OPEN_REGISTRY, PRIVATE_REGISTRY].flatMap((port) => ['--insecure-registry', `127.0.0.1:${port}`]),
];

/** What all organizations see, or what a name in one takes from the others: lists of the API. */
const COMMON = [
  'organizations',
  'domains',
  'routes',
  'users',
  'buildpacks',
  'feature_flags',
  'security_groups',
  'organization_quotas',
  'space_quotas',
  'isolation_segments',
];

/** The platform that the files of test/e2e/shared/ have in common, as one of them uses it: from an org of its own. */
export class SharedPlatform extends TestPlatform {
  readonly org: string;
  readonly #cf: string;
  /** Null where it never came in: that is the failure to be told. */
  #found: Record<string, string[]> | null = null;

  /** `cf` is the official cf's path. */
  constructor(cf: string, org: string) {
    super({ ...SHARED_PLACE, data: process.env[SHARED_DATA] ?? '/nowhere' });
    this.#cf = cf;
    this.org = org;
  }

  /** Signs the official cf in as the administrator and points it at the space `dev` of the file's org. */
  async enter(): Promise<void> {
    if (process.env[SHARED_DATA] === undefined)
      throw new Error('no shared platform is up: run the file by ./cupola test');
    await this.attach();
    await this.signIn(this.#cf);
    this.#found = await eventually('the buildpacks of the platform', async () => {
      const found = await this.#common();
      return (found['buildpacks'] ?? []).length >= shownBuildpacks(this.layout).length && found;
    });
    await this.makeOrg(this.#cf, this.org);
  }

  /** Removes the org with all that is in it. Throws where the file leaves something to the next: then it is the file that fails. */
  async leave(): Promise<void> {
    try {
      if (this.#found === null) return;
      await this.signIn(this.#cf);
      await this.cf(this.#cf, ['delete-org', this.org, '-f']);
      assert.deepEqual(await this.#common(), this.#found, 'as the file found it');
      await eventually('no container runs', async () => this.appProcesses().length === 0);
    } finally {
      rmSync(this.home, { recursive: true, force: true });
    }
  }

  /** Each list, with everything that its entries say but when they were changed. */
  async #common(): Promise<Record<string, string[]>> {
    const token = (await this.cf(this.#cf, ['oauth-token'])).trim().replace(/^bearer /i, '');
    const listed = COMMON.map(async (list) => {
      const { status, body } = await this.request('api', { path: `/v3/${list}?per_page=1000`, token });
      assert.equal(status, 200, `${list}: ${body}`);
      const { resources } = JSON.parse(body) as { resources: object[] };
      return [list, resources.map((one) => JSON.stringify({ ...one, updated_at: null })).sort()] as const;
    });
    return Object.fromEntries(await Promise.all(listed));
  }
}
