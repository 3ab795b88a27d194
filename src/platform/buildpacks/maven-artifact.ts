import { mavenRepository } from '../registries.ts';
import { digestOf, download } from './download.ts';

export interface MavenArtifact {
  /** Below the repository: "org/apache/maven/…/apache-maven-3.9.16-bin.tar.gz". */
  path: string;
  /** Hexadecimal. */
  sha512: string;
}

/** Fetches a file of a Maven repository into `directory`; gives its path. Throws as `download` does. */
export async function fetchMavenArtifact(wanted: MavenArtifact, directory: string): Promise<string> {
  const name = wanted.path.slice(wanted.path.lastIndexOf('/') + 1);
  return download(
    {
      name,
      urls: async () => [`${await mavenRepository()}/${wanted.path}`],
      isPinned: async (file) => (await digestOf('sha512', file)) === wanted.sha512,
    },
    directory,
  );
}
