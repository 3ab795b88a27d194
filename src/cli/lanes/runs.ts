import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { type HeldLock, lockFile } from '../../kit/lock.ts';
import { groupsOfRuns, removeGroups } from './control-groups.ts';

/** A run of tests has a directory here for as long as it lasts: its lock tells whoever looks, from whichever namespace, that it lives. */
const RUNS = '/var/tmp';
const PREFIX = 'cupola-test-';
const LOCK = 'lock';

/** What a run of tests has of the machine while it lasts. */
export class Run implements Disposable {
  /** In the names of its control groups. */
  readonly id: string;
  readonly #directory: string;
  readonly #lock: HeldLock;
  #lanes = 0;

  constructor() {
    this.#directory = mkdtempSync(join(RUNS, PREFIX));
    this.id = basename(this.#directory).slice(PREFIX.length);
    this.#lock = lockFile(join(this.#directory, LOCK), 'a run of tests');
    for (const directory of [this.reports, this.tests, this.compiled]) mkdirSync(directory);
    chmodSync(this.#directory, 0o711);
  }

  /** Where outputs are kept until the end. */
  get reports(): string {
    return join(this.#directory, 'reports');
  }

  /** Where tests lie as they are run. */
  get tests(): string {
    return join(this.#directory, 'tests');
  }

  /** Where code lies that V8 compiled. */
  get compiled(): string {
    return join(this.#directory, 'compiled');
  }

  /** A number for the next lane, and a directory that becomes its /tmp. */
  nextLane(): { name: string; temporary: string } {
    const serial = ++this.#lanes;
    const temporary = join(this.#directory, `tmp-${serial}`);
    mkdirSync(temporary);
    chmodSync(temporary, 0o1777);
    return { name: `${PREFIX}${this.id}-${serial}`, temporary };
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
    this.#lock[Symbol.dispose]();
  }
}

/** Removes what runs left that were killed, of this user's. */
export async function removeDeadRuns(): Promise<void> {
  for (const name of readdirSync(RUNS).filter((entry) => entry.startsWith(PREFIX))) {
    const directory = join(RUNS, name);
    const begun = beginOf(directory);
    if (begun === null) continue;
    // One that has just begun has its lock in a moment.
    if (Date.now() - begun < 60_000 && !existsSync(join(directory, LOCK))) continue;
    const lock = lockOfDead(directory);
    if (lock === null) continue;
    rmSync(directory, { recursive: true, force: true });
    lock[Symbol.dispose]();
  }
  for (const name of groupsOfRuns(PREFIX)) {
    const id = name.slice(PREFIX.length).replace(/-\d+$/, '');
    if (beginOf(join(RUNS, `${PREFIX}${id}`)) === null) await removeGroups(name);
  }
}

/** Milliseconds since 1970; null for no directory of this user's: anybody may put anything beside those. */
function beginOf(directory: string): number | null {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  return found?.isDirectory() && found.uid === process.getuid?.() ? found.mtimeMs : null;
}

/** Null where the run lives. */
function lockOfDead(directory: string): HeldLock | null {
  try {
    return lockFile(join(directory, LOCK), 'removal');
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'locked') return null;
    throw error;
  }
}
