import { run } from '../process.ts';

/** Where the packages of Debian's releases and their security updates come from. */
export interface DebianMirrors {
  mirror: string;
  securityMirror: string;
}

const PUBLIC: DebianMirrors = {
  mirror: 'http://deb.debian.org/debian',
  securityMirror: 'http://deb.debian.org/debian-security',
};
/** Names of releases, by which a mirror of Debian is known. */
const RELEASES = /^(bullseye|bookworm|trixie|forky|oldoldstable|oldstable|stable|testing)(-security)?$/;
const SECURITY = '-security';
const FIELDS = ['REPO_URI', 'ORIGIN', 'RELEASE', 'COMPONENT', 'IDENTIFIER'] as const;

interface Source {
  uri: string;
  release: string;
}

/**
 * The machine's own mirrors of Debian (as apt(8) reads its sources): those of this release where there are any, else those of whichever release
 * it has, else the public ones. `options`: of apt-get. Throws `command_failed`.
 */
export async function findDebianMirrors(suite: string, options: readonly string[] = []): Promise<DebianMirrors> {
  const sources = await debianSources(options);
  const uriOf = (isOne: (release: string) => boolean) => sources.find(({ release }) => isOne(release))?.uri;
  return {
    mirror: uriOf((release) => release === suite) ?? uriOf((release) => !release.endsWith(SECURITY)) ?? PUBLIC.mirror,
    securityMirror:
      uriOf((release) => release === `${suite}${SECURITY}`) ??
      uriOf((release) => release.endsWith(SECURITY)) ??
      PUBLIC.securityMirror,
  };
}

/** A release and its security updates as lines of sources.list(5), signed by these keys alone. */
export function sourceLines({ mirror, securityMirror }: DebianMirrors, suite: string, keyring: string): string[] {
  const signed = `[signed-by=${keyring}]`;
  return [`deb ${signed} ${mirror} ${suite} main`, `deb ${signed} ${securityMirror} ${suite}${SECURITY} main`];
}

/** Others than Debian have releases named "stable" too. Where apt has not read a source's index yet, its address tells. */
async function debianSources(options: readonly string[]): Promise<Source[]> {
  const known = await targets(options);
  const found = known.filter(({ ORIGIN }) => ORIGIN === 'Debian');
  const likely = found.length > 0 ? found : (await targets([...options, '--no-release-info'])).filter(isAtDebian);
  return likely
    .filter(({ IDENTIFIER, COMPONENT }) => IDENTIFIER === 'Packages' && COMPONENT === 'main')
    .map(({ REPO_URI, RELEASE }) => ({ uri: REPO_URI.replace(/\/$/, ''), release: RELEASE }))
    .filter(({ uri, release }) => /^https?:\/\//.test(uri) && RELEASES.test(release));
}

function isAtDebian({ REPO_URI }: Target): boolean {
  return /\/[^/]*debian[^/]*\/?$/.test(REPO_URI);
}

type Target = Record<(typeof FIELDS)[number], string>;

async function targets(options: readonly string[]): Promise<Target[]> {
  const format = FIELDS.map((field) => `$(${field})`).join(' ');
  const said = await run('apt-get', [...options, 'indextargets', '--format', format], { showWords: true });
  return said.split('\n').map((line) => {
    const words = line.split(' ');
    return Object.fromEntries(FIELDS.map((field, at) => [field, words[at] ?? ''])) as Target;
  });
}
