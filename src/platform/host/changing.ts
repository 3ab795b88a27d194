import { CupolaError, codeOf } from '../../kit/errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  EPERM: 'it or its directory is immutable; allow changes (chattr -i) and try again',
  EACCES: 'it is protected; allow root to change it and try again',
  EROFS: 'it is on a file system that is mounted read-only; mount it writable and try again',
  EBUSY: 'it is in use as a mount point; unmount it and try again',
};

/** Changes a file of the machine's. Throws `not_writable` where that may not be changed, and all else as it is thrown. */
export function changing<T>(path: string, change: () => T): T {
  try {
    return change();
  } catch (cause) {
    const reason = REASONS[codeOf(cause) ?? ''];
    if (reason === undefined) throw cause;
    throw new CupolaError('not_writable', `${path} cannot be changed: ${reason}`, { cause });
  }
}
