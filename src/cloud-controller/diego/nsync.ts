import { ALL_GUIDS } from '../../contracts/lrp-fingerprint.ts';
import { messageOf } from '../../kit/errors.ts';
import { named, type Outcome, Reconciler, type Subjects } from '../../kit/reconcile.ts';
import { appsAmong } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { differingGroups } from './differing.ts';
import { syncDesiredLrps } from './sync.ts';
import { wantedLrps } from './wanted.ts';
import type { Apps } from './within.ts';

/** While a deployment or a restart waits for instances, and after a failure, there is a run soon. */
const PACE = { everyMs: 30_000, soonMs: 1_000 };
/** So many apps are looked at together. */
const TOGETHER = 200;

/** What resources do to bring Diego in step with their rows, and their rows with Diego. */
export interface Steps {
  /** Each gives the apps of which it has something under way, or had. */
  readonly restarts: (context: Context) => Promise<readonly string[]>;
  readonly deployments: (context: Context) => Promise<readonly string[]>;
  /** Each gives whether it is to go on soon. */
  readonly staging: (context: Context) => Promise<boolean>;
  readonly tasks: (context: Context) => Promise<boolean>;
}

/**
 * Keeps Diego in step with the database (DGO-01): woken after each commit that matters and by a timer, so that no API write is lost
 * while Diego is away. A change costs what it costs, whatever else runs: what ought to run is looked at for the apps that changed, and the
 * timer has PostgreSQL compare all. Several control processes may run it; every step may be repeated.
 */
export class Nsync {
  readonly #context: Context;
  readonly #changed: Reconciler;
  readonly #all: Reconciler;
  /** What is under way; there is little of it, whatever runs. */
  readonly #steps: readonly Reconciler[];
  readonly #tasks: readonly Reconciler[];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: Context, steps: Steps) {
    this.#context = context;
    const { log } = context;
    this.#changed = new Reconciler('changed-apps', PACE, (guids) => this.#syncChanged(guids), log);
    this.#all = new Reconciler('desired-lrps', PACE, () => this.#syncAll(), log);
    const affecting = (name: 'restarts' | 'deployments', followers: readonly Reconciler[]): Reconciler => {
      let before: readonly string[] = [];
      const run = async () => {
        const apps = await steps[name](context);
        // What was under way may have ended by somebody else's change, which named another app.
        const affected = new Set([...before, ...apps]);
        before = apps;
        if (affected.size === 0) return 'done';
        for (const follower of followers) follower.wake(affected);
        return 'soon';
      };
      return new Reconciler(name, PACE, run, log);
    };
    const alone = (name: 'staging' | 'tasks'): Reconciler =>
      new Reconciler(name, PACE, async () => ((await steps[name](context)) ? 'soon' : 'done'), log);
    // Steps are apart from what is desired with them: nobody's start or stop waits for somebody's deployment.
    const restarts = affecting('restarts', [this.#changed]);
    const deployments = affecting('deployments', [restarts, this.#changed]);
    this.#steps = [deployments, restarts];
    this.#tasks = [alone('staging'), alone('tasks')];
  }

  start(): void {
    for (const reconciler of this.#reconcilers()) reconciler.start();
  }

  /** What runs of these apps changed, or of all apps in these spaces or organizations; or of any. */
  wake(guids: readonly string[] | 'all'): void {
    if (guids.length === 0) return;
    for (const reconciler of this.#steps) reconciler.wake();
    if (guids === 'all') this.#all.wake();
    else this.#changed.wake(guids);
  }

  /** Builds or tasks began, or are to end: these are looked at together, which a change of something else need not pay for. */
  wakeTasks(): void {
    for (const reconciler of this.#tasks) reconciler.wake();
  }

  async close(): Promise<void> {
    await Promise.all(this.#reconcilers().map((reconciler) => reconciler.stop()));
  }

  #reconcilers(): Reconciler[] {
    return [...this.#steps, ...this.#tasks, this.#changed, this.#all];
  }

  /** Everything is looked at by the other one. */
  async #syncChanged({ names: guids }: Subjects): Promise<Outcome> {
    const apps = [...new Set([...guids, ...(await appsAmong(this.#context.db, [...guids]))])];
    const failed: string[] = [];
    for (let start = 0; start < apps.length; start += TOGETHER) {
      failed.push(...(await this.#sync({ guids: apps.slice(start, start + TOGETHER) })));
    }
    return failed.length > 0 ? { soon: named(failed) } : 'done';
  }

  /** Apps of which something failed are left to the other one, so that one app has not everything compared again and again. */
  async #syncAll(): Promise<Outcome> {
    for (const range of ALL_GUIDS) {
      for (const group of await differingGroups(this.#context, range)) {
        try {
          this.#changed.wake(await this.#sync({ group }));
        } catch (error) {
          this.#context.log.warn('a group of apps was not compared with Diego; the next run tries it again', {
            group,
            error: messageOf(error),
          });
        }
      }
    }
    return 'done';
  }

  /** One at a time, so that nobody tells Diego what somebody has told it anew. A change waits for no more than one of them. */
  #sync(apps: Apps): Promise<ReadonlySet<string>> {
    const { bbs, log } = this.#context;
    const done = this.#turn.then(() => syncDesiredLrps(bbs, apps, () => wantedLrps(this.#context, apps), log));
    this.#turn = done.catch(() => {});
    return done.then(({ failed }) => failed);
  }
}
