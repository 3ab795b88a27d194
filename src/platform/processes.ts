import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isAlive, type ProcessIdentity } from '../kit/process.ts';

/** A process as the supervisor notes it down: which one it is, and the digest of what it was started from. */
export interface RecordedProcess extends ProcessIdentity {
  /** Missing in notes of versions before there were digests. */
  fingerprint?: string;
}

/** By component; a process that was replaced and still finishes its connections stands under "<component> <pid>". */
export type ProcessNotes = Record<string, RecordedProcess>;

/** Those that still run. */
export function readProcesses(file: string): ProcessNotes {
  if (!existsSync(file)) return {};
  const listed = JSON.parse(readFileSync(file, 'utf8')) as ProcessNotes;
  return Object.fromEntries(Object.entries(listed).filter(([, identity]) => isAlive(identity)));
}

export function writeProcesses(file: string, processes: ProcessNotes): void {
  writeFileSync(`${file}.new`, JSON.stringify(processes), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
