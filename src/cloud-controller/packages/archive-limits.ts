/** What an upload may hold (SECURITY-TESTS 24). */
export interface ArchiveLimits {
  entries: number;
  /** Of one entry. */
  nameBytes: number;
  /** Names, comments and extra fields of all entries. */
  directoryBytes: number;
  /** Unpacked size of everything together. */
  unpackedBytes: number;
  /** Unpacked to packed, judged only once `ratioFromBytes` would be unpacked. */
  ratio: number;
  ratioFromBytes: number;
}
