import type { Contents, Context } from './context.ts';
import type { Job } from './jobs/store.ts';
import type { Operation } from './operation.ts';

/** Does a job's work; may run again after a crash, so it must bear being half done. Gives warnings for the caller, if any. */
type HandleJob = (context: Context, job: Job) => Promise<readonly string[] | undefined>;

/** A resource as `resources.ts` lists it: all that the room does for it. */
export interface Resource {
  readonly operations: readonly Operation[];
  /** By the name they are enqueued with. */
  readonly jobs?: Readonly<Record<string, HandleJob>>;
  /** What goes when a space, an organization, a user, an app or a domain does, in the order of the list. */
  readonly contents?: Readonly<Partial<Contents>>;
}

/** Declares a resource. */
export function resource(parts: Resource): Resource {
  return parts;
}
