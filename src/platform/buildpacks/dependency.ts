/** What a manifest.yml says of one runtime: the digest is that of the archive as it was fetched. */
export interface Dependency {
  name: string;
  version: string;
  sha256: string;
}

/** A fetched archive, unpacked. */
export interface Unpacked extends Dependency {
  directory: string;
}
