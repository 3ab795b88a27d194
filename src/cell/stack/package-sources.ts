import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StackRelease } from './packages.ts';

/** Where the packages of a release and its security updates come from. */
export interface PackageSources {
  mirror: string;
  securityMirror: string;
}

/** Where a machine has all releases of Debian from. */
export interface DebianMirrors {
  mirror: string;
  securityMirror: string;
}

const DEBIAN: DebianMirrors = {
  mirror: 'http://deb.debian.org/debian',
  securityMirror: 'http://deb.debian.org/debian-security',
};
/** Names of releases, by which a mirror of Debian is known. */
const RELEASES = /^(bullseye|bookworm|trixie|forky|oldoldstable|oldstable|stable|testing)$/;

interface Source {
  uris: string[];
  suites: string[];
}

/** The machine's own sources for the release where it has them (a mirror, say), else the release's public ones. */
export async function findPackageSources(release: StackRelease, directory = '/etc/apt'): Promise<PackageSources> {
  const sources = await readSources(directory);
  const mirrorOf = (suite: string) => sources.find(({ suites }) => suites.includes(suite))?.uris[0];
  return {
    mirror: mirrorOf(release.suite) ?? release.defaultMirror,
    securityMirror: mirrorOf(`${release.suite}-security`) ?? release.defaultSecurityMirror,
  };
}

/** The machine's own mirrors of Debian, of whichever release it has, where it is a Debian; else the public ones. */
export async function findDebianMirrors(directory = '/etc/apt'): Promise<DebianMirrors> {
  const sources = await readSources(directory);
  const mirrorOf = (isOne: (suite: string) => boolean) => sources.find(({ suites }) => suites.some(isOne))?.uris[0];
  return {
    mirror: mirrorOf((suite) => RELEASES.test(suite)) ?? DEBIAN.mirror,
    securityMirror:
      mirrorOf((suite) => suite.endsWith('-security') && RELEASES.test(suite.slice(0, -'-security'.length))) ??
      DEBIAN.securityMirror,
  };
}

async function readSources(directory: string): Promise<Source[]> {
  const parts = join(directory, 'sources.list.d');
  const files = [join(directory, 'sources.list')];
  for (const name of (await readdir(parts).catch(() => [])).sort()) files.push(join(parts, name));
  const texts = await Promise.all(
    files.map(async (file) => ({ file, text: await readFile(file, 'utf8').catch(() => '') })),
  );
  return texts.flatMap(({ file, text }) => (file.endsWith('.sources') ? parseDeb822(text) : parseOneLine(text)));
}

/** sources.list(5), "DEB822-STYLE FORMAT". */
function parseDeb822(text: string): Source[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    let name = '';
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue;
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match) name = match[1]!.toLowerCase();
      fields.set(name, `${fields.get(name) ?? ''} ${match ? match[2] : line}`.trim());
    }
    const words = (field: string) => (fields.get(field) ?? '').split(/\s+/).filter((word) => word !== '');
    const usable = words('types').includes('deb') && fields.get('enabled')?.toLowerCase() !== 'no';
    return usable && words('components').includes('main')
      ? [plainWeb({ uris: words('uris'), suites: words('suites') })]
      : [];
  });
}

/** sources.list(5), "ONE-LINE-STYLE FORMAT". */
function parseOneLine(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line);
    if (!match || !match[3]!.split(/\s+/).includes('main')) return [];
    return [plainWeb({ uris: [match[1]!], suites: [match[2]!] })];
  });
}

/** What builds a stack fetches over the web only. */
function plainWeb(source: Source): Source {
  return { uris: source.uris.filter((uri) => /^https?:\/\//.test(uri)), suites: source.suites };
}
