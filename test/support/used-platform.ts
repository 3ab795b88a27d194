import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { instances } from './fault-targets.ts';
import { officialCf } from './official-cf.ts';
import { eventually, ROOT, TestPlatform } from './platform.ts';
import { type Seen, Watch } from './watch.ts';

const CF = officialCf() ?? '';
/** The steady app's processes among those of all apps. */
export const STEADY = /^\S*node\s.*server\.js/;
const INSTANCES = 4;

/** A platform of two cells with one app of four instances, used without a break while something happens to it. */
export class UsedPlatform extends TestPlatform {
  #appGuid = '';
  #token = { text: '', until: 0 };
  #crashes = 0;

  /** Up, signed in as its administrator, every instance of the app serving. */
  async prepare(): Promise<void> {
    await this.upWithOrg(CF, 'faults');
    const directory = join(ROOT, 'test/fixtures/steady');
    const scale = ['-m', '64M', '-k', '256M', '-i', String(INSTANCES)];
    await this.run('push', 'steady', '-p', directory, '-b', 'nodejs_buildpack', ...scale);
    await this.allInstances(CF, 'steady');
    this.#appGuid = (await this.run('app', 'steady', '--guid')).trim();
    await this.#bearer();
  }

  /**
   * The index whose instance dies next. Each in its turn, and the app is started afresh before one of them has crashed so often that
   * Diego lets it wait: that back-off is not what these tests look at.
   */
  victim(): number {
    return this.#crashes++ % INSTANCES;
  }

  /** To be called before what may crash as many as two instances. */
  async forgiveCrashes(): Promise<void> {
    if (this.#crashes + 2 <= 2 * INSTANCES) return;
    await this.run('restart', 'steady');
    this.#crashes = 0;
    await eventually('the old instances are gone', async () => this.everyIndexOnce());
  }

  /** Signs in anew, as after tokens ended. */
  async signInAgain(): Promise<void> {
    await this.signIn(CF);
    this.#token = { text: '', until: 0 };
  }

  /** The official cf with these arguments. */
  run(...args: string[]): Promise<string> {
    return this.cf(CF, args);
  }

  /** Whether each index of the app runs exactly once on this machine. */
  everyIndexOnce(): boolean {
    const found = instances(this, STEADY).map(({ index }) => index);
    return found.length === INSTANCES && new Set(found).size === INSTANCES;
  }

  /** Waits until every component runs in a process that is not among `killed` and every index runs once; gives how long it took. */
  async recovered(killed: readonly number[], limitMs: number): Promise<number> {
    const began = performance.now();
    await eventually(
      'recovery',
      async () => {
        const { ready, components } = await this.status();
        const back = components.every(({ state, pid }) => state === 'running' && pid !== null && !killed.includes(pid));
        return ready && back && this.everyIndexOnce();
      },
      limitMs * 4,
    );
    const took = performance.now() - began;
    assert.ok(took < limitMs, `recovery took ${Math.round(took)} ms`);
    return took;
  }

  /** What the app's clients, a writer and a log reader saw while `body` ran, and a second after. Acknowledged writes are checked. */
  async whileUsed(body: (watch: Watch) => Promise<unknown>): Promise<Seen> {
    const watch = new Watch(this, { host: 'steady', appGuid: this.#appGuid, token: () => this.#bearer() });
    await pause(500);
    const trouble = await body(watch).then(
      () => null,
      (error: unknown) => error,
    );
    await pause(1000);
    const seen = await watch.stop();
    if (trouble) throw new Error(figures(seen), { cause: trouble });
    await this.#assertKept(seen.written);
    assert.ok(this.everyIndexOnce(), 'every index runs once');
    return seen;
  }

  async #bearer(): Promise<string> {
    if (Date.now() > this.#token.until) {
      const text = (await this.run('oauth-token')).trim().replace(/^bearer /i, '');
      this.#token = { text, until: Date.now() + 300_000 };
    }
    return this.#token.text;
  }

  async #assertKept(written: readonly string[]): Promise<void> {
    const listed = JSON.parse(await this.run('curl', '/v3/organizations?per_page=5000')) as {
      resources: { name: string }[];
    };
    const names = new Set(listed.resources.map(({ name }) => name));
    const lost = written.filter((name) => !names.has(name));
    assert.deepEqual(lost, [], 'acknowledged writes are kept');
  }
}

/** Throws where more requests failed than `allowed`, or too few were made to say anything. */
export function judge(seen: Seen, allowed: number): void {
  assert.ok(seen.requests > 50, `${seen.requests} requests`);
  const errors = seen.failures.map(({ at, kind, error }) => `${Math.round(at)} ms, ${kind}: ${error}`);
  const summary = `${seen.failures.length} failed of ${seen.requests}:\n${errors.slice(0, 20).join('\n')}`;
  assert.ok(seen.failures.length <= allowed, summary);
}

/** One line for the report. */
export function figures(seen: Seen): string {
  const lost = [...seen.lines.values()].reduce((sum, { missing }) => sum + missing, 0);
  return (
    `${seen.requests} requests, ${seen.failures.length} failed, slowest ${Math.round(seen.slowestMs)} ms; ` +
    `${seen.written.length} writes, ${seen.refused} refused; ${lost} log lines unread`
  );
}
