import { forOwner } from '../../kit/database-shares.ts';
import type { Logger } from '../../kit/log.ts';
import { Reconciler } from '../../kit/reconcile.ts';
import { ownerKey } from '../authorization.ts';
import type { Db } from '../database.ts';
import { isFault, isTransient, publicError } from '../errors.ts';
import { claimJob, finishJob, insertJob, type Job, type NewJob, postponeJob, releaseJob, renewJob } from './store.ts';

/** Does a job's work; may run again after a crash, so it must bear being half done. Gives warnings for the caller, if any. */
export type JobHandler = (job: Job) => Promise<readonly string[] | undefined>;

const CONCURRENT = 4;
/** For one caller: whoever comes finds a worker, however much another has asked for. */
const CONCURRENT_OF_CALLER = CONCURRENT / 2;
const LEASE_SECONDS = 20;
const RENEW_MS = 5_000;
const POLL_MS = 2_000;
const MAX_ATTEMPTS = 10;
/** A job that met an error which may pass is tried again after 1, 2, 4, 8 and 16 seconds. */
const MAX_RETRIES = 5;

/**
 * Work that outlives its request. Jobs lie in the database; every control process works on them under a lease, so one
 * that was cut off is taken up again, here or elsewhere. They go round by caller: whoever has asked for much waits for
 * themselves (SECURITY 30).
 */
export class Jobs {
  readonly #db: Db;
  readonly #log: Logger;
  readonly #handlers = new Map<string, JobHandler>();
  readonly #running = new Map<string, { caller: string; done: Promise<void> }>();
  /** Whose turn it was last. */
  #last = '';
  readonly #pump: Reconciler;
  #closing = false;

  constructor(db: Db, log: Logger) {
    this.#db = db;
    this.#log = log.child('jobs');
    this.#pump = new Reconciler('jobs', POLL_MS, () => this.#fill(), this.#log);
  }

  /** Names the handler of an operation ("organization.delete"); before `start`. */
  register(operation: string, handler: JobHandler): void {
    if (this.#handlers.has(operation)) throw new Error(`job ${operation} has two handlers`);
    this.#handlers.set(operation, handler);
  }

  /** Adds a job, in the caller's transaction if one is given, and gives its guid. It starts soon after the commit. */
  async enqueue(job: NewJob, db: Db = this.#db): Promise<string> {
    if (!this.#handlers.has(job.operation)) throw new Error(`job ${job.operation} has no handler`);
    return insertJob(db, job);
  }

  start(): void {
    this.#pump.start();
  }

  /** Look for work now instead of at the next tick. */
  wake(): void {
    this.#pump.wake();
  }

  /** Waits up to `graceMs` for what runs; what is still unfinished goes back to the queue. */
  async close(graceMs = 5_000): Promise<void> {
    this.#closing = true;
    await this.#pump.stop();
    const left = [...this.#running.values()];
    await Promise.race([
      Promise.all(left.map(({ done }) => done)),
      new Promise((resolve) => setTimeout(resolve, graceMs).unref()),
    ]);
    for (const guid of this.#running.keys()) await releaseJob(this.#db, guid);
  }

  async #fill(): Promise<void> {
    while (!this.#closing && this.#running.size < CONCURRENT) {
      const turn = { after: this.#last, passing: this.#served() };
      const job = await claimJob(this.#db, [...this.#handlers.keys()], LEASE_SECONDS, turn);
      if (!job) return;
      const caller = job.actor.guid;
      this.#last = caller;
      const done = this.#run(job).finally(() => {
        this.#running.delete(job.guid);
        this.#pump.wake();
      });
      this.#running.set(job.guid, { caller, done });
    }
  }

  /** Callers for whom as many workers are busy as may be. */
  #served(): string[] {
    const workers = Map.groupBy(this.#running.values(), ({ caller }) => caller);
    return [...workers].filter(([, busy]) => busy.length >= CONCURRENT_OF_CALLER).map(([caller]) => caller);
  }

  async #retry(job: Job, error: unknown): Promise<void> {
    const seconds = 2 ** (job.attempts - 1);
    this.#log.warn('a job is tried again', { job: job.guid, operation: job.operation, seconds, error });
    // Where the database is away still, the lease ends by itself.
    await postponeJob(this.#db, job.guid, seconds).catch(() => undefined);
  }

  async #run(job: Job): Promise<void> {
    const renewal = setInterval(() => {
      renewJob(this.#db, job.guid, LEASE_SECONDS).catch((error: unknown) =>
        this.#log.warn('a job lease was not renewed', { job: job.guid, error }),
      );
    }, RENEW_MS);
    try {
      if (job.attempts > MAX_ATTEMPTS) throw new Error('the job was cut off too often');
      const warnings = await forOwner(ownerKey(job.actor), true, () => this.#handlers.get(job.operation)!(job));
      await finishJob(this.#db, job.guid, { state: 'COMPLETE', warnings: warnings ?? [] });
    } catch (error) {
      if (isTransient(error) && job.attempts <= MAX_RETRIES) return await this.#retry(job, error);
      const shown = publicError(error);
      if (isFault(error)) this.#log.error('a job failed', { job: job.guid, operation: job.operation, error });
      await finishJob(this.#db, job.guid, { state: 'FAILED', errors: [shown.body()] }).catch((cause: unknown) =>
        this.#log.error('a job could not be closed', { job: job.guid, error: cause }),
      );
    } finally {
      clearInterval(renewal);
    }
  }
}
