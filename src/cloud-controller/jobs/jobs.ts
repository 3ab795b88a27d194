import type { Logger } from '../../kit/log.ts';
import { Reconciler } from '../../kit/reconcile.ts';
import type { Db } from '../database.ts';
import { publicError } from '../errors.ts';
import { claimJob, finishJob, insertJob, type Job, type NewJob, releaseJob, renewJob } from './store.ts';

/** Does a job's work; may run again after a crash, so it must bear being half done. Gives warnings for the caller, if any. */
export type JobHandler = (job: Job) => Promise<readonly string[] | undefined>;

const CONCURRENT = 4;
const LEASE_SECONDS = 20;
const RENEW_MS = 5_000;
const POLL_MS = 2_000;
const MAX_ATTEMPTS = 10;

/**
 * Work that outlives its request. Jobs lie in the database; every control process works on them under a lease, so one
 * that was cut off is taken up again, here or elsewhere.
 */
export class Jobs {
  readonly #db: Db;
  readonly #log: Logger;
  readonly #handlers = new Map<string, JobHandler>();
  readonly #running = new Map<string, Promise<void>>();
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
    const left = [...this.#running];
    await Promise.race([
      Promise.all(left.map(([, done]) => done)),
      new Promise((resolve) => setTimeout(resolve, graceMs).unref()),
    ]);
    for (const guid of this.#running.keys()) await releaseJob(this.#db, guid);
  }

  async #fill(): Promise<void> {
    while (!this.#closing && this.#running.size < CONCURRENT) {
      const job = await claimJob(this.#db, [...this.#handlers.keys()], LEASE_SECONDS);
      if (!job) return;
      const done = this.#run(job).finally(() => {
        this.#running.delete(job.guid);
        this.#pump.wake();
      });
      this.#running.set(job.guid, done);
    }
  }

  async #run(job: Job): Promise<void> {
    const renewal = setInterval(() => {
      renewJob(this.#db, job.guid, LEASE_SECONDS).catch((error: unknown) =>
        this.#log.warn('a job lease was not renewed', { job: job.guid, error }),
      );
    }, RENEW_MS);
    try {
      if (job.attempts > MAX_ATTEMPTS) throw new Error('the job was cut off too often');
      const warnings = await this.#handlers.get(job.operation)!(job);
      await finishJob(this.#db, job.guid, { state: 'COMPLETE', warnings: warnings ?? [] });
    } catch (error) {
      const shown = publicError(error);
      if (shown.title === 'UnknownError')
        this.#log.error('a job failed', { job: job.guid, operation: job.operation, error });
      await finishJob(this.#db, job.guid, { state: 'FAILED', errors: [shown.body()] }).catch((cause: unknown) =>
        this.#log.error('a job could not be closed', { job: job.guid, error: cause }),
      );
    } finally {
      clearInterval(renewal);
    }
  }
}
