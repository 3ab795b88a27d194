/** The distribution release a stack is made of. */
export interface StackRelease {
  suite: string;
  keyring: string;
  packages: readonly string[];
  /** What LANG says in its containers. Cloud Foundry's, since apps sort, format and decode by it. */
  locale: string;
}

/**
 * What a stack holds beyond the release's minimal base: only what running or staging an app needs (CTR-03).
 * No compiler, no interpreter beyond the base's perl and shell, no service. What serves file transfers runs only within
 * a session of `cf ssh`; nothing listens.
 */
const PACKAGES: Record<string, string> = {
  bash: 'start commands and profile scripts are written for it',
  'ca-certificates': 'apps verify the services they call',
  curl: 'buildpacks fetch dependencies',
  unzip: 'buildpacks and packages are zip files',
  'xz-utils': 'runtimes are published as tar.xz',
  isal: 'igzip packs droplets in a seventh of the time that gzip takes',
  bzip2: 'runtimes are published as tar.bz2',
  procps: 'start scripts look at processes, and people do when something is wrong',
  'openssh-sftp-server': 'sftp, and scp of today, over cf ssh',
  'openssh-client': 'scp as older clients speak it, over cf ssh',
  openssl: 'certificates of the instance are inspected and converted with it',
  tzdata: 'TZ works',
  libssl3: 'runtimes built for this generation of stacks link it',
  zlib1g: 'the same',
  'libstdc++6': 'the same (Node.js, Java)',
  libffi8: 'the same (Python, Ruby)',
  'libsqlite3-0': 'the same (Python)',
  libreadline8: 'the same (Python, Ruby)',
  'libyaml-0-2': 'the same (Ruby)',
};

const RELEASES: Record<string, StackRelease> = {
  debian12: {
    suite: 'bookworm',
    keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
    packages: Object.keys(PACKAGES),
    locale: 'en_US.UTF-8',
  },
};

/** What every stack of every version has, as its C library's own. */
export const BASIC_LOCALE = 'C.UTF-8';

/** What LANG says in a container of this version's stack. */
export function localeOf(stack: string): string {
  return RELEASES[stack]?.locale ?? BASIC_LOCALE;
}

/** Null for a name this version does not know. */
export function releaseOf(stack: string): StackRelease | null {
  return RELEASES[stack] ?? null;
}
