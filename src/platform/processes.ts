import { existsSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { replaceFile } from '../kit/owned-files.ts';
import { isAlive } from '../kit/process.ts';

/** A process as the supervisor notes it down: which one it is, and the digest of what it was started from. */
const RecordedProcess = Type.Object({
  pid: Type.Integer(),
  startTicks: Type.String(),
  /** Missing in notes of versions before there were digests. */
  fingerprint: Type.Optional(Type.String()),
});
export type RecordedProcess = Static<typeof RecordedProcess>;

/** By component; a process that was replaced and still finishes its connections stands under "<component> <pid>". */
const ProcessNotes = Type.Record(Type.String(), RecordedProcess);
export type ProcessNotes = Static<typeof ProcessNotes>;

const Restarts = Type.Record(Type.String(), Type.Integer());

/** Those that still run. Throws `invalid_file`. */
export function readProcesses(file: string): ProcessNotes {
  if (!existsSync(file)) return {};
  const listed = readCheckedFile(file, ProcessNotes);
  return Object.fromEntries(Object.entries(listed).filter(([, identity]) => isAlive(identity)));
}

/** What `readProcesses` gives to the next supervisor. */
export function writeProcesses(file: string, processes: ProcessNotes): void {
  replaceFile(file, JSON.stringify(processes), { mode: 0o600 });
}

/** By component; of those it counts nothing of, none. Throws `invalid_file`. */
export function readRestarts(file: string): Record<string, number> {
  if (!existsSync(file)) return {};
  return readCheckedFile(file, Restarts);
}

/** What `readRestarts` gives to the next supervisor. */
export function writeRestarts(file: string, restarts: Record<string, number>): void {
  replaceFile(file, JSON.stringify(restarts), { mode: 0o600 });
}
