import { run } from '../../kit/process.ts';

interface Waiting {
  text: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Applies nft text as transactions; what arrives while one runs goes into the next one together. */
export class Nft {
  #waiting: Waiting[] = [];
  #busy = false;

  /** Resolves when the text is in force. Throws `command_failed` where nft refuses it; others are then not affected. */
  apply(text: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ text, resolve, reject });
    if (!this.#busy) void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await nft(batch.map(({ text }) => text).join(''));
        for (const one of batch) one.resolve();
      } catch (error) {
        if (batch.length === 1) batch[0]!.reject(error);
        else for (const one of batch) await nft(one.text).then(one.resolve, one.reject);
      }
    }
    this.#busy = false;
  }
}

async function nft(text: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: text });
}

/** Tables of Cupola's cells on this machine. */
export async function cupolaTables(): Promise<string[]> {
  const listing = await run('nft', ['list', 'tables']);
  return [...listing.matchAll(/^table inet (cupola_\w+)$/gm)].map((match) => match[1]!);
}
