/** Where packages of a kind come from, as in a package URL. */
export type Origin = 'deb' | 'npm' | 'maven' | 'golang';

/** A package that is there. */
export interface Software {
  origin: Origin;
  name: string;
  version: string;
  /** Package URL: by it scanners and lists of flaws know the package. */
  purl: string;
  /** As its own files say them, of Debian by the names there. Empty: not known. */
  licences: readonly string[];
  /** Hexadecimal; of the package as it was fetched. */
  hashes: readonly { algorithm: 'SHA-256' | 'SHA-512'; hex: string }[];
  /** Package URLs, of the same part, of what it depends on. */
  needs: readonly string[];
  /** What has a use for it. */
  usedFor: string;
}

/** What is replaced as a whole: an image, a stack, a buildpack, the packages of the code, those of the machine. */
export interface Part {
  kind: 'engines' | 'stack' | 'buildpack' | 'npm' | 'machine';
  name: string;
  version: string;
  /** Of a file, e.g. a buildpack. */
  hashes: Software['hashes'];
  /** Which processes, or containers, have it. */
  runsIn: string;
  packages: readonly Software[];
}

export interface Inventory {
  parts: readonly Part[];
  /** What else there may be and is not in it, a sentence each. */
  unknown: readonly string[];
}
