import { join } from 'node:path';
import Type from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { replaceFile } from '../kit/owned-files.ts';

/** The last line that was taken of one HAProxy, by the first words of it and the request's id. */
export interface Position {
  answeredAt: number;
  line: string;
}

const Written = Type.Record(Type.String(), Type.Object({ answeredAt: Type.Number(), line: Type.String() }));
/** HAProxy processes whose lines may still be there: one that finishes, one that serves. */
const MOST = 4;

/** How far the access log was taken, by HAProxy process; a file has it for a control that is started after this one. */
export class Positions {
  readonly #file: string;
  readonly #byProcess = new Map<string, Position>();
  #isWritten = true;

  constructor(stateDirectory: string) {
    this.#file = join(stateDirectory, 'access-log.json');
  }

  /** Of the control before; nothing where there is no file that can be read. */
  load(): void {
    try {
      for (const [process, position] of Object.entries(readCheckedFile(this.#file, Written)))
        this.#byProcess.set(process, position);
    } catch {
      // The first one, or one of a version before was killed: what the ring has is taken.
    }
  }

  of(process: string): Position | undefined {
    return this.#byProcess.get(process);
  }

  note(process: string, position: Position): void {
    this.#byProcess.delete(process);
    this.#byProcess.set(process, position);
    for (const oldest of this.#byProcess.keys()) if (this.#byProcess.size > MOST) this.#byProcess.delete(oldest);
    this.#isWritten = false;
  }

  write(): void {
    if (this.#isWritten) return;
    replaceFile(this.#file, JSON.stringify(Object.fromEntries(this.#byProcess)), { mode: 0o600 });
    this.#isWritten = true;
  }
}
