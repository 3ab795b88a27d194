import { createHash } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keepCopyrights } from '../../kit/copyrights.ts';
import { machineAptSettings, proxyVariables } from '../../kit/debian/machine-settings.ts';
import { findDebianMirrors, sourceLines } from '../../kit/debian/mirrors.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';
import type { StackRelease } from './packages.ts';

// This file and packages.ts are the recipe of a stack: a change of either is another stack (stack.ts).

const MINUTES = 60_000;
const MACHINE_CERTIFICATES = '/usr/local/share/ca-certificates';
export const VERSION_FILE = 'etc/cupola-stack';

/**
 * Makes a stack's root file system in an empty directory: the distribution's minimal base with its security updates, a short list
 * of packages, a locale, the user vcap (2000), no setuid file. `progress` hears what is done just now.
 */
export async function buildStack(
  root: string,
  name: string,
  release: StackRelease,
  progress: (text: string) => void,
): Promise<void> {
  await bootstrap(root, release, progress);
  await compileLocale(root, release.locale);
  // Where packages came from is the machine's business.
  await writeFile(join(root, 'etc/apt/sources.list'), '');
  await rm(join(root, SETTINGS), { force: true });
  progress('Preparing the root file system');
  await trustMachineCertificates(root);
  await addUser(root);
  await clean(root);
  await stripSetId(root);
  await writeVersion(root, name);
}

/** What is heard of each package, and what mmdebstrap calls what it does. */
const HEARD: readonly (readonly [RegExp, string])[] = [
  [/^Get:\d+ .* ([^\s/]+) \S+ \S+ \[[^\]]*\]$/, 'Retrieving'],
  [/^Unpacking (\S+) /, 'Unpacking'],
  [/^Setting up (\S+) /, 'Configuring'],
];
/** What it was told for apt, it leaves there. */
const SETTINGS = 'etc/apt/apt.conf.d/99mmdebstrap';
const EXTRACTING = 'I: extracting archives...';

async function bootstrap(root: string, release: StackRelease, progress: (text: string) => void): Promise<void> {
  const { suite, keyring, packages } = release;
  // mmdebstrap would take every other key that the machine trusts too.
  const sources = sourceLines(await findDebianMirrors(suite), suite, keyring);
  // A file, since addresses of proxies can have passwords in them.
  const settings = `${root}.apt`;
  await writeFile(settings, `${(await machineAptSettings()).join('\n')}\n`, { mode: 0o600 });
  const args = [
    ...['--mode=root', '--variant=minbase', '--format=directory', '--verbose', `--aptopt=${settings}`],
    // Directories of before become links of /usr's before anything is in them.
    '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
    `--include=${['usr-is-merged', ...packages].join(',')}`,
    '--skip=cleanup/apt/lists', // the locale comes by them
  ];
  await run('mmdebstrap', [...args, suite, root, ...sources], {
    env: { ...PLAIN_ENVIRONMENT, ...proxyVariables() },
    timeoutMs: 30 * MINUTES,
    showWords: true,
    onOutput: (text) => {
      for (const line of text.split('\n')) hear(line, progress);
    },
  });
  await rm(settings);
}

function hear(line: string, progress: (text: string) => void): void {
  if (line === EXTRACTING) progress('Extracting the base system');
  for (const [form, does] of HEARD) {
    const [, name] = form.exec(line) ?? [];
    if (name !== undefined) progress(`${does} ${name}`);
  }
}

/** From the sources of the package `locales`, which is not installed: it and what it depends on are five times the locale. */
async function compileLocale(root: string, locale: string): Promise<void> {
  const [, language, charset] = /^(\w+)\.([\w-]+)$/.exec(locale) ?? [];
  if (language === undefined || charset === undefined) throw new TypeError(`${locale} is no locale with a charset`);
  const unpacked = '/tmp/locales';
  await mkdir(join(root, unpacked));
  const script =
    'cd "$1" && apt-get -q -o APT::Sandbox::User=root download locales && dpkg-deb --extract locales_*.deb .';
  await inside(root, ['sh', '-c', script, 'sh', unpacked]);
  // By its path it becomes a directory of its own, as C.utf8 is, and no archive that has to be rewritten as a whole.
  const target = `/usr/lib/locale/${language}.${charset.toLowerCase().replaceAll('-', '')}`;
  await inside(root, [
    'env',
    `I18NPATH=${unpacked}/usr/share/i18n`,
    'localedef',
    '-i',
    language,
    '-f',
    charset,
    target,
  ]);
}

/** Operators behind a proxy that inspects TLS need their authority trusted in containers too. */
async function trustMachineCertificates(root: string): Promise<void> {
  const names = await readdir(MACHINE_CERTIFICATES).catch(() => []);
  for (const name of names.filter((entry) => entry.endsWith('.crt'))) {
    const target = join(root, MACHINE_CERTIFICATES, name);
    await copyFile(join(MACHINE_CERTIFICATES, name), target);
    await chmod(target, 0o644);
  }
  await inside(root, ['update-ca-certificates']);
}

async function addUser(root: string): Promise<void> {
  await inside(root, ['groupadd', '--gid', '2000', 'vcap']);
  const shape = ['--uid', '2000', '--gid', '2000', '--create-home', '--skel', '/nonexistent', '--shell', '/bin/bash'];
  await inside(root, ['useradd', ...shape, 'vcap']);
  await chmod(join(root, 'home/vcap'), 0o750);
}

/**
 * Removes caches, logs, documentation, and what tells one machine from another. The package database stays for scanners, and what says under
 * which licence each package is.
 */
async function clean(root: string): Promise<void> {
  const emptied = ['var/cache/apt', 'var/cache/debconf', 'var/lib/apt/lists', 'var/log', 'tmp', 'var/tmp', 'dev'];
  emptied.push('usr/share/man', 'usr/share/info', 'usr/share/lintian');
  for (const directory of emptied) {
    for (const name of await readdir(join(root, directory)).catch(() => [])) {
      await rm(join(root, directory, name), { recursive: true, force: true });
    }
  }
  await keepCopyrights(join(root, 'usr/share/doc'));
  for (const file of ['etc/hostname', 'etc/resolv.conf', 'etc/machine-id']) await writeFile(join(root, file), '');
}

async function stripSetId(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await stripSetId(path);
    else if (entry.isFile()) {
      const { mode } = await lstat(path);
      if (mode & 0o6000) await chmod(path, mode & 0o1777);
    }
  }
}

async function writeVersion(root: string, name: string): Promise<void> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the format is dpkg's
  const packages = await inside(root, ['dpkg-query', '--show', '--showformat', '${Package} ${Version}\n']);
  const digest = createHash('sha256').update(packages).digest('hex').slice(0, 12);
  const day = new Date().toISOString().slice(0, 10).replaceAll('-', '');
  await writeFile(join(root, VERSION_FILE), `name=${name}\nversion=${day}-${digest}\n`);
}

/** Runs a command in the tree with mounts and processes of its own, so that nothing of it is left behind. */
function inside(root: string, command: readonly string[]): Promise<string> {
  const args = ['--mount', '--pid', '--fork', '--kill-child', `--mount-proc=${join(root, 'proc')}`, 'chroot', root];
  return run('unshare', [...args, ...command], {
    env: { ...PLAIN_ENVIRONMENT, DEBIAN_FRONTEND: 'noninteractive', ...proxyVariables() },
    timeoutMs: 15 * MINUTES,
    showWords: true,
  });
}
