import { accessSync, closeSync, constants, copyFileSync } from 'node:fs';
import { basename } from 'node:path';
import koffi from 'koffi';
import { engineFile } from '../../kit/engines.ts';

/* memfd_create(2), fcntl(2). */
const libc = koffi.load('libc.so.6');
const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const fcntl = libc.func('int fcntl(int descriptor, int command, int value)');

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** Kernels before 6.3 do not know it; later ones may be told to need it. */
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE: what runc asks for. */
const NEVER_CHANGES = 0xf;

/**
 * A copy of an engine's program in memory that nobody can change any more; gives by which path it is run, as long as this process lives. runc runs of such
 * a copy of itself only, so that no container can write to it, and makes one each time that it starts of a file. `path` itself where there
 * can be none.
 */
export function sealedCopy(path: string): string {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const withExec: number = memfdCreate(basename(path), flags | MFD_EXEC);
  const descriptor = withExec >= 0 ? withExec : memfdCreate(basename(path), flags);
  if (descriptor < 0) return path;
  const place = `/proc/${process.pid}/fd/${descriptor}`;
  try {
    copyFileSync(engineFile(path), place);
    accessSync(place, constants.X_OK);
    if (fcntl(descriptor, F_ADD_SEALS, NEVER_CHANGES) === 0) return place;
  } catch {
    // as below
  }
  closeSync(descriptor);
  return path;
}
