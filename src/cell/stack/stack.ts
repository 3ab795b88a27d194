import { createHash, randomUUID } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';
import { findPackageSources, type PackageSources } from './package-sources.ts';
import { releaseOf, type StackRelease } from './packages.ts';

export interface StackOptions {
  /** The stack is built as `<directory>/<name>/rootfs`. */
  directory: string;
  name: string;
  log: Logger;
  /** Called with what is done just now, e.g. "Extracting libssl3". */
  onProgress?: (text: string) => void;
}

export interface Stack {
  name: string;
  /** Day of the build and digest of the packages, e.g. "20260131-0a1b2c3d4e5f". */
  version: string;
  rootfs: string;
}

const MINUTES = 60_000;
const MACHINE_CERTIFICATES = '/usr/local/share/ca-certificates';
const VERSION_FILE = 'etc/cupola-stack';

/**
 * Builds the root file system of app containers unless it is there: the distribution's minimal base, its security
 * updates, a short list of packages, the user vcap (2000), no setuid file. It appears whole or not at all.
 * Throws `stack_unknown`, `stack_build_failed`.
 */
export async function ensureStack(options: StackOptions): Promise<Stack> {
  const release = releaseOf(options.name);
  if (!release) throw new CupolaError('stack_unknown', `there is no stack "${options.name}"`);
  const home = join(options.directory, options.name);
  const present = await readStack(home, options.name);
  if (present) return present;

  await mkdir(options.directory, { recursive: true, mode: 0o755 });
  const start = `.${options.name}.building-`;
  for (const name of await readdir(options.directory)) {
    if (name.startsWith(start)) await rm(join(options.directory, name), { recursive: true, force: true });
  }
  const building = join(options.directory, `${start}${randomUUID()}`);
  const began = Date.now();
  try {
    const root = join(building, 'rootfs');
    await mkdir(root, { recursive: true, mode: 0o755 });
    await build(root, release, options);
    await rename(building, home);
  } catch (cause) {
    await rm(building, { recursive: true, force: true });
    throw new CupolaError('stack_build_failed', `the stack ${options.name} could not be built`, { cause });
  }
  const stack = await readStack(home, options.name);
  if (!stack) throw new CupolaError('stack_build_failed', `the stack ${options.name} has no version`);
  options.log.info('stack built', { stack: stack.name, version: stack.version, milliseconds: Date.now() - began });
  return stack;
}

async function readStack(home: string, name: string): Promise<Stack | null> {
  const rootfs = join(home, 'rootfs');
  const text = await readFile(join(rootfs, VERSION_FILE), 'utf8').catch(() => null);
  const version = /^version=(\S+)$/m.exec(text ?? '')?.[1];
  return version === undefined ? null : { name, version, rootfs };
}

async function build(root: string, release: StackRelease, options: StackOptions): Promise<void> {
  const progress = options.onProgress ?? (() => {});
  const sources = await findPackageSources(release);
  await bootstrap(root, release, sources, progress);
  progress('Installing security updates');
  await upgrade(root, release, sources);
  progress('Preparing the root file system');
  await trustMachineCertificates(root);
  await addUser(root);
  await clean(root);
  await stripSetId(root);
  await writeVersion(root, options.name);
}

async function bootstrap(
  root: string,
  release: StackRelease,
  sources: PackageSources,
  progress: (text: string) => void,
): Promise<void> {
  const args = ['--variant=minbase', `--keyring=${release.keyring}`, `--include=${release.packages.join(',')}`];
  await run('debootstrap', [...args, release.suite, root, sources.mirror], {
    env: { ...PLAIN_ENVIRONMENT, ...proxies() },
    timeoutMs: 30 * MINUTES,
    onOutput: (text) => {
      for (const [, line] of text.matchAll(/^I: ((?:Retrieving|Validating|Extracting|Unpacking|Configuring) .*)$/gm)) {
        progress(line!.replace(/\.\.\.$/, ''));
      }
    },
  });
}

async function upgrade(root: string, release: StackRelease, sources: PackageSources): Promise<void> {
  const list = join(root, 'etc/apt/sources.list');
  const settings = join(root, 'etc/apt/apt.conf.d/99machine');
  const { suite } = release;
  await writeFile(list, `deb ${sources.mirror} ${suite} main\ndeb ${sources.securityMirror} ${suite}-security main\n`);
  await writeFile(settings, await machineAptSettings());
  await inside(root, ['apt-get', '-q', 'update']);
  await inside(root, ['apt-get', '-q', '-y', 'dist-upgrade']);
  await rm(settings);
  await writeFile(list, ''); // where packages came from is the machine's business
}

/** How this machine's apt gets through to its mirror. */
async function machineAptSettings(): Promise<string> {
  const dump = await run('apt-config', ['dump']).catch(() => '');
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(https?::Proxy|Check-(Valid-Until|Date))[ :]/.test(line))
    .join('\n')
    .concat('\n');
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

/** Removes caches, logs, documentation, and what tells one machine from another. The package database stays for scanners. */
async function clean(root: string): Promise<void> {
  const emptied = ['var/cache/apt', 'var/cache/debconf', 'var/lib/apt/lists', 'var/log', 'tmp', 'var/tmp', 'dev'];
  emptied.push('usr/share/doc', 'usr/share/man', 'usr/share/info', 'usr/share/lintian');
  for (const directory of emptied) {
    for (const name of await readdir(join(root, directory)).catch(() => [])) {
      await rm(join(root, directory, name), { recursive: true, force: true });
    }
  }
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
    env: { ...PLAIN_ENVIRONMENT, DEBIAN_FRONTEND: 'noninteractive', ...proxies() },
    timeoutMs: 15 * MINUTES,
  });
}

function proxies(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy'];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
