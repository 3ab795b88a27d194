import { randomUUID } from 'node:crypto';
import { type Bus, SUBJECTS } from '../kit/bus.ts';

/** Processes an event names at most; beyond them it says nothing of which they are. */
const MOST_NAMED = 200;

/** What changed. `work` says that an auction or a convergence has something to do because of it. */
export interface Change {
  processGuid?: string;
  taskGuid?: string;
  work?: boolean;
}

/**
 * Tells the bus that LRPs or tasks changed, after the commit. The first change goes out at once; those of the next
 * moments go out together, so that a thousand starts are a few events. An event carries the guids of the LRPs that
 * changed, none where only tasks did; one that carries no list means: look at everything.
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
    const named = changes.every(({ processGuid, taskGuid }) => processGuid !== undefined || taskGuid !== undefined);
    const guids = new Set(changes.flatMap(({ processGuid }) => processGuid ?? []));
    this.#bus.publish(SUBJECTS.diego, {
      from: this.#self,
      ...(named && guids.size <= MOST_NAMED ? { processGuids: [...guids] } : {}),
      ...(changes.some(({ work }) => work) ? { work: true } : {}),
    });
  }
}
