import { existsSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { proxyVariables } from '../../kit/debian/machine-settings.ts';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';
import { versionsIn } from '../engines/postgresql/programs.ts';

/** Something the platform needs on the machine, and the distribution package that brings it. */
interface Need {
  what: string;
  package: string;
  present: () => boolean;
}

const POLICY = '/usr/sbin/policy-rc.d';
const CREATE_CLUSTER = '/etc/postgresql-common/createcluster.conf';
const MINUTES = 60_000;

const command = (name: string, from: string): Need => ({ what: name, package: from, present: () => inPath(name) });
const file = (path: string, from: string): Need => ({ what: path, package: from, present: () => existsSync(path) });

/** Beside the engines, which come from an image of their own (engines/image). */
const NEEDS: readonly Need[] = [
  command('nft', 'nftables'),
  command('conntrack', 'conntrack'),
  command('ip', 'iproute2'),
  command('mmdebstrap', 'mmdebstrap'),
  command('setpriv', 'util-linux'),
  command('unshare', 'util-linux'),
  command('nsenter', 'util-linux'),
  command('openssl', 'openssl'),
  command('curl', 'curl'),
  command('useradd', 'passwd'),
  command('update-ca-certificates', 'ca-certificates'),
  file('/usr/share/keyrings/debian-archive-keyring.gpg', 'debian-archive-keyring'),
];

/** Engines of the machine itself, which tests of single components run; of PostgreSQL an older one than the image's, to carry data over from. */
export const TESTED_ENGINES: readonly Need[] = [
  { what: 'postgres', package: 'postgresql', present: () => versionsIn(null).length > 0 },
  command('haproxy', 'haproxy'),
  command('runc', 'runc'),
  command('conmon', 'conmon'),
  command('catatonit', 'catatonit'),
  command('nats-server', 'nats-server'),
  command('dnsmasq', 'dnsmasq-base'),
];

/** The distribution packages that the platform runs with, each with what it brings. */
export function neededPackages(): ReadonlyMap<string, readonly string[]> {
  const byPackage = Map.groupBy(NEEDS, (need) => need.package);
  return new Map([...byPackage].map(([name, needs]) => [name, needs.map(({ what }) => what)]));
}

/** The distribution packages that are missing. */
export function missingPackages(needs = NEEDS): string[] {
  return [...new Set(needs.filter((need) => !need.present()).map((need) => need.package))];
}

/**
 * Installs what is missing from the distribution; installs nothing where all is there. Services of new packages are not
 * started, and running ones are left alone. Throws `packages_missing` where apt-get cannot bring them.
 */
export async function ensurePackages(onProgress: (text: string) => void, more: readonly Need[] = []): Promise<void> {
  const needs = [...NEEDS, ...more];
  const packages = missingPackages(needs);
  if (packages.length === 0) return;
  if (!inPath('apt-get')) {
    throw new CupolaError('packages_missing', `missing: ${packages.join(', ')}; this machine has no apt-get`);
  }
  onProgress(`Installing ${packages.join(', ')}`);
  const withdrawPolicy = await forbidServiceStarts();
  try {
    if (packages.includes('postgresql')) await keepFromCreatingCluster();
    const install = () =>
      aptGet(['install', '--yes', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', ...packages], 20);
    const update = () => aptGet(['update'], 5);
    if (!listsAreFresh()) await update();
    // A package may be there by now in another version than the lists have.
    await install().catch(async () => update().then(install));
  } catch (cause) {
    throw new CupolaError('packages_missing', `could not install ${packages.join(', ')}`, { cause });
  } finally {
    await withdrawPolicy();
  }
  const still = needs.filter((need) => !need.present()).map((need) => need.what);
  if (still.length > 0) throw new CupolaError('packages_missing', `still missing: ${still.join(', ')}`);
}

/** Whether apt's lists of packages were brought up to date just now, as ./cupola does where it needs a package itself. */
function listsAreFresh(): boolean {
  const partial = statSync('/var/lib/apt/lists/partial', { throwIfNoEntry: false });
  return partial !== undefined && Date.now() - partial.mtimeMs < 10 * MINUTES;
}

function aptGet(args: readonly string[], minutes: number): Promise<string> {
  return run('apt-get', ['--quiet', '-o', 'DPkg::Lock::Timeout=120', ...args], {
    env: { ...PLAIN_ENVIRONMENT, DEBIAN_FRONTEND: 'noninteractive', ...proxyVariables() },
    timeoutMs: minutes * MINUTES,
    showWords: true,
  });
}

/** Asks invoke-rc.d to start nothing, unless the machine has a policy of its own. Gives what takes it back. */
async function forbidServiceStarts(): Promise<() => Promise<void>> {
  try {
    await writeFile(POLICY, '#!/bin/sh\n# Written by cupola while it installs packages.\nexit 101\n', {
      mode: 0o755,
      flag: 'wx',
    });
  } catch {
    return async () => {}; // there is one; what it says holds
  }
  return () => rm(POLICY, { force: true });
}

/** Debian makes and enables a cluster of its own at installation; the platform's own is the only one it needs. */
async function keepFromCreatingCluster(): Promise<void> {
  await mkdir('/etc/postgresql-common', { recursive: true });
  await writeFile(CREATE_CLUSTER, 'create_main_cluster = false\n', { flag: 'wx', mode: 0o644 }).catch(() => {
    // The operator's file says what is wanted here.
  });
}

/** Whether a command is where the platform looks for commands. */
export function inPath(name: string): boolean {
  return PLAIN_ENVIRONMENT['PATH']!.split(delimiter).some((directory) => existsSync(join(directory, name)));
}
