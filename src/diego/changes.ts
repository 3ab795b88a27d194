import { randomUUID } from 'node:crypto';
import { type Bus, SUBJECTS } from '../kit/bus.ts';

/** What changed. `work` says that an auction or a convergence has something to do because of it. */
export interface Change {
  processGuid?: string;
  taskGuid?: string;
  work?: boolean;
}

/**
 * Tells the bus that LRPs or tasks changed, after the commit. The first change goes out at once; those of the next
 * moments go out together, so that a thousand starts are a few events. An event that names neither process nor task
 * means: look at everything.
 */
export class Changes {
  readonly #bus: Bus;
  readonly #self = randomUUID();
  readonly #windowMs: number;
  readonly #waiting: Change[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(bus: Bus, windowMs = 20) {
    this.#bus = bus;
    this.#windowMs = windowMs;
  }

  publish(change: Change): void {
    this.#waiting.push(change);
    if (this.#timer) return;
    this.#flush();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting.length > 0) this.#flush();
    }, this.#windowMs);
  }

  /** Hears the changes with work in them that other processes published. */
  onForeignWork(listener: () => void): () => void {
    return this.#bus.subscribe(SUBJECTS.diego, (event) => {
      if (event['from'] !== this.#self && event['work'] === true) listener();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#waiting.length > 0) this.#flush();
  }

  #flush(): void {
    const changes = this.#waiting.splice(0);
    const processGuid = same(changes.map((change) => change.processGuid));
    const taskGuid = same(changes.map((change) => change.taskGuid));
    this.#bus.publish(SUBJECTS.diego, {
      from: this.#self,
      ...(processGuid === undefined ? {} : { processGuid }),
      ...(taskGuid === undefined ? {} : { taskGuid }),
      ...(changes.some((change) => change.work) ? { work: true } : {}),
    });
  }
}

function same(values: readonly (string | undefined)[]): string | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined;
}
