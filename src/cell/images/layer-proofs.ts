import { unlessAborted } from '../../kit/abort.ts';

/** A layer by its digest, and who asks whom for it. */
export interface LayerClaim {
  origin: string;
  digest: string;
}

const MOST = 10_000;

/**
 * Which layers each origin was seen to hold, to their last byte, by this process: knowing a digest is not having the content, and the
 * proof of one origin is none of another's. The oldest are forgotten.
 */
export class LayerProofs {
  readonly #most: number;
  readonly #seen = new Set<string>();
  /** Being read for proof. */
  readonly #reading = new Map<string, { signal: AbortSignal; done: Promise<void> }>();

  constructor(most: number = MOST) {
    this.#most = most;
  }

  add(claim: LayerClaim): void {
    this.#seen.add(keyOf(claim));
    for (const oldest of this.#seen) {
      if (this.#seen.size <= this.#most) break;
      this.#seen.delete(oldest);
    }
  }

  has(claim: LayerClaim): boolean {
    return this.#seen.has(keyOf(claim));
  }

  /**
   * Has a layer read to its end, unless it was or another of the same origin does so now, whose failure is everybody's.
   * `read` adds the claim where it holds, and throws where not.
   */
  async prove(claim: LayerClaim & { read: () => Promise<void> }, signal: AbortSignal): Promise<void> {
    while (!this.has(claim)) {
      const reading = this.#reading.get(keyOf(claim)) ?? this.#begin(claim, signal);
      try {
        return await unlessAborted(reading.done, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!reading.signal.aborted) throw error; // as its own would have
      }
    }
  }

  #begin(claim: LayerClaim & { read: () => Promise<void> }, signal: AbortSignal) {
    const key = keyOf(claim);
    const done = claim.read().finally(() => this.#reading.delete(key));
    done.catch(() => {}); // told to whoever waits
    const reading = { signal, done };
    this.#reading.set(key, reading);
    return reading;
  }
}

function keyOf({ origin, digest }: LayerClaim): string {
  return `${origin} ${digest}`;
}
