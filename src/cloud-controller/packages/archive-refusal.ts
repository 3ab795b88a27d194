/** The archive is hostile or broken. The message is for the user and names no path of the server. */
export class ArchiveRefusedError extends Error {
  override readonly name = 'ArchiveRefusedError';
}

/** A name as it may stand in an error: short, in quotes and without control characters. */
export function quoted(name: string): string {
  return `'${name.slice(0, 120).replace(/[^\x20-\x7e]/g, '?')}'`;
}

/**
 * What reading an archive threw, told apart: what the system says (a full disk, a broken one) stays as it is, everything else
 * is about what is in the archive, and its sender's to mend.
 */
export function asRefusal(error: unknown, message: string): unknown {
  if (error instanceof ArchiveRefusedError || (error instanceof Error && 'syscall' in error)) return error;
  return new ArchiveRefusedError(message, { cause: error });
}
