import type { AptOptions } from '../../../kit/debian/apt.ts';
import { type DebianMirrors, findDebianMirrors, sourceLines } from '../../../kit/debian/mirrors.ts';

/** What the image is made of, but for versions: a change of this file or of build.ts is another image. */

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** The newest stable release. */
const SUITE = 'trixie';
/** Where what stable has too old comes from, unless the operator names other sources. */
const NEWER_SUITE = 'testing';

/** Packages that stable has too old, and what they strictly need that stable has too old for them. */
const NEWER = ['haproxy', 'libpcre2-8-0'];

/** PostgreSQL's major version: where data are of an earlier one, they are carried over (engines/postgresql). */
const POSTGRESQL = 17;
const POSTGRESQL_HOME = `usr/lib/postgresql/${POSTGRESQL}`;

/** The engines, and what the platform runs beside them. */
export const PACKAGES: Readonly<Record<string, string>> = {
  haproxy: 'the router and the proxy of each cell',
  [`postgresql-${POSTGRESQL}`]: 'the database',
  'nats-server': 'the bus',
  'dnsmasq-base': 'names for the machine and for containers',
  runc: 'containers',
  conmon: 'watches what runs in them',
  catatonit: 'their first process',
  e2fsprogs: 'their disks',
  'util-linux': 'engines run without privileges, in namespaces',
  mount: 'the namespace is made with it',
  coreutils: 'whoever holds the listening sockets',
  dash: 'sh',
  'base-files': 'the tree',
};

/** Of which files are taken and nothing else: no program of them runs. */
export const FILES_OF = ['golang-github-containers-common'];

/** What those depend on and no program of them needs as it runs here. */
const LEFT_OUT: readonly (readonly [RegExp, string])[] = [
  [/^(libllvm\d+|libz3-4)$/, "compiles queries, which the platform's own server never does"],
  [/^(perl|perl-base|perl-modules-.*|libperl5.*|lib.*-perl|libgdbm.*|libdb5.*)$/, 'for scripts that manage clusters'],
  [/^(postgresql-common|postgresql-common-dev|postgresql-client-common|ssl-cert|openssl)$/, 'those scripts'],
  [
    /^(debconf|adduser|ucf|sensible-utils|init-system-helpers|lsb-base|debianutils)$/,
    'for the installation on a machine',
  ],
  [/^(passwd|base-passwd|login\.defs|libsemanage.*|libsepol2|libdebconfclient0)$/, 'accounts are the machine’s'],
  [/^(libpam-runtime|libpam-modules|libpam-modules-bin|netbase)$/, 'nobody logs in, and /etc is the machine’s'],
  [/^(locales|libc-l10n)$/, 'C.UTF-8 is in the C library'],
  [/^(procps|libproc2-0|libncursesw6|sysvinit-utils)$/, 'for people'],
];

export function isLeftOut(name: string): boolean {
  return LEFT_OUT.some(([names]) => names.test(name));
}

/** Directories of which nothing is kept: manuals, words in other languages, what a compiler of queries would read. */
export const REMOVED = [
  ...['usr/share/man', 'usr/share/info', 'usr/share/locale', 'usr/share/lintian', 'usr/share/bash-completion'],
  ...[
    'usr/share/zsh',
    'usr/share/fish',
    'usr/share/vim',
    'usr/share/perl5',
    'usr/share/postgresql-common',
    'usr/lib/systemd',
  ],
  ...[`${POSTGRESQL_HOME}/lib/bitcode`, `${POSTGRESQL_HOME}/lib/llvmjit.so`, `${POSTGRESQL_HOME}/lib/llvmjit_types.bc`],
  ...['etc', 'boot', 'home', 'root', 'run', 'srv', 'tmp', 'var', 'dev', 'proc', 'sys', 'media', 'mnt', 'opt'],
];

/** Each starts and says its version, or the image is none. */
export const PROGRAMS: readonly (readonly string[])[] = [
  ['haproxy', '-v'],
  ...['postgres', 'initdb', 'pg_ctl', 'psql', 'pg_upgrade', 'pg_controldata', 'vacuumdb', 'pg_dumpall'].map((name) => [
    `/${POSTGRESQL_HOME}/bin/${name}`,
    '--version',
  ]),
  ['nats-server', '--version'],
  ['dnsmasq', '--version'],
  ['runc', '--version'],
  ['conmon', '--version'],
  ['catatonit', '--version'],
  ['mkfs.ext4', '-V'],
  ['setpriv', '--version'],
  ['nsenter', '--version'],
  ['mount', '--version'],
  ['sleep', '--version'],
];

/** Lines of the operator's, or Debian's testing, beside stable and its security updates. */
export async function aptOptions(operators: readonly string[] | undefined): Promise<AptOptions> {
  return optionsFor(await findDebianMirrors(SUITE), operators);
}

/** Of all that is not stable's, only what stable has too old is wanted. */
export function optionsFor(mirrors: DebianMirrors, operators: readonly string[] | undefined): AptOptions {
  const signed = `[signed-by=${KEYRING}]`;
  const newer = operators ?? [`deb ${signed} ${mirrors.mirror} ${NEWER_SUITE} main`];
  return {
    sources: [
      ...sourceLines(mirrors, SUITE, KEYRING),
      ...newer.map((line) => (line.startsWith('deb [') ? line : line.replace(/^deb /, `deb ${signed} `))),
    ],
    preferences: [
      ...[`Package: ${NEWER.join(' ')}`, 'Pin: version *', 'Pin-Priority: 700', ''],
      ...['Package: *', `Pin: release o=Debian,n=${SUITE}*`, 'Pin-Priority: 600', ''],
      ...['Package: *', 'Pin: release *', 'Pin-Priority: 50', ''],
    ].join('\n'),
  };
}
