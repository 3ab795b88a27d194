import { run } from '../../kit/process.ts';

/** What is to be applied, and how its author takes back what it wrote down of it where nft refuses it. */
export interface Change {
  text: string;
  undo?: () => void;
}

interface Waiting {
  change: () => Change;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Applies changes as transactions; what arrives while one runs goes into the next one together. A change is made when its turn
 * comes, so that it sees what is in force and what stands before it in its transaction, and nothing that nft refused.
 */
export class Nft {
  #waiting: Waiting[] = [];
  #busy = false;

  /** Resolves when it is in force. Throws what `change` does, and `command_failed` where nft refuses it; others are then not affected. */
  apply(change: () => Change): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ change, resolve, reject });
    if (!this.#busy) void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await transaction(batch);
        for (const one of batch) one.resolve();
      } catch (error) {
        if (batch.length === 1) batch[0]!.reject(error);
        else for (const one of batch) await transaction([one]).then(one.resolve, one.reject);
      }
    }
    this.#busy = false;
  }
}

/** All or nothing. */
async function transaction(batch: readonly Waiting[]): Promise<void> {
  const made: Change[] = [];
  try {
    for (const { change } of batch) made.push(change());
    const text = made.map((each) => each.text).join('');
    if (text !== '') await nft(text);
  } catch (error) {
    for (const { undo } of made.toReversed()) undo?.();
    throw error;
  }
}

/** One transaction. Throws `command_failed` where nft refuses it. */
export async function nft(text: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: text });
}

/** Family and name of each table of this machine. */
export async function listTables(): Promise<string[]> {
  return [...(await run('nft', ['list', 'tables'])).matchAll(/^table (.+)$/gm)].map((match) => match[1]!);
}

/** Tables of Cupola's cells on this machine. */
export async function cupolaTables(): Promise<string[]> {
  return cellTables(await listTables());
}

/** The names of those among these. */
export function cellTables(tables: readonly string[]): string[] {
  return tables.flatMap((table) => /^inet (cupola_\w+)$/.exec(table)?.[1] ?? []);
}
