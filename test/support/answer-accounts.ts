import { EventEmitter } from 'node:events';
import { refusalOf } from '../../src/kit/refusal.ts';

/** An answer as the accounts of bodies and of answers see it: something that is closed once. */
export class TestAnswer extends EventEmitter {
  closed = false;
  end(): void {
    this.closed = true;
    this.emit('close');
  }
}

/** The kind of refusal that this throws; undefined where it throws none. */
export function refusedAs(body: () => unknown): string | undefined {
  try {
    body();
  } catch (error) {
    return refusalOf(error)?.kind;
  }
  return undefined;
}
