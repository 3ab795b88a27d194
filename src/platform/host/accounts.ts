import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { commandOf, processesAs, run, terminate } from '../../kit/process.ts';
import type { Account } from '../account.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { forgetInstallation, installations, lockInstallations, noteInstallation } from './installations.ts';

export type AccountRole = 'control' | 'postgresql' | 'nats' | 'router' | 'listeners' | 'dns' | 'containerDns';
export type Accounts = Record<AccountRole, Account> & {
  /** By cell: the keys of one cell's apps are not another's to read. */
  proxies: readonly Account[];
};

/** One system account a component: what breaks into one has nothing of another's. */
const NAMES: Record<AccountRole, string> = {
  control: 'cupola-control',
  postgresql: 'cupola-postgres',
  nats: 'cupola-nats',
  router: 'cupola-router',
  listeners: 'cupola-listeners', // what breaks into the router cannot end it
  dns: 'cupola-dns',
  containerDns: 'cupola-dns-apps', // hears what hostile containers say; the machine's own answers are not its
};
const MOST_CELLS = 8;
/** What forks while it is killed is found again. */
const MOST_ROUNDS = 20;
/** How long all of them together may be kept by what is only passing. */
const MOST_REMOVING_MS = 5_000;

function proxyName(cell: number): string {
  return `cupola-proxy-${cell}`;
}

/**
 * Makes the accounts that are missing: no home, no shell, no password, a group each. All installations of the machine share them, so
 * it is noted first that this one is there.
 */
export async function ensureAccounts(
  settings: Pick<PlatformSettings, 'id' | 'dataDirectory' | 'cells'>,
): Promise<Accounts> {
  using _ = await lockInstallations();
  noteInstallation(settings);
  const proxies = Array.from({ length: settings.cells }, (_, index) => proxyName(index));
  for (const name of [...Object.values(NAMES), ...proxies]) {
    if (findAccount(name)) continue;
    await run('useradd', [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      name,
    ]);
  }
  const named = (name: string): Account => {
    const account = findAccount(name);
    if (!account) throw new CupolaError('account_missing', `the account ${name} could not be made`);
    return account;
  };
  const of = (role: AccountRole): Account => named(NAMES[role]);
  return {
    control: of('control'),
    postgresql: of('postgresql'),
    nats: of('nats'),
    router: of('router'),
    listeners: of('listeners'),
    dns: of('dns'),
    containerDns: of('containerDns'),
    proxies: proxies.map(named),
  };
}

/**
 * Ends everything that runs as one of them: what was written down of it may not be all, and whoever broke into one may have left
 * something that changes directories while they are removed. Of several installations on the machine, only what has this one's run
 * directory in its command. A number that another account has too says nothing. Throws `process_stuck`.
 */
export async function endProcesses(settings: PlatformSettings, runDirectory: string): Promise<void> {
  const own = presentAccounts().filter((account) => namesake(account) === null);
  const alone = otherInstallations(settings).length === 0;
  await endProcessesAs(own, alone ? null : runDirectory);
}

/** Ends what runs as one of these users, not in a container of somebody's; `within`: that has something below it in its command. */
export async function endProcessesAs(
  users: readonly Pick<Account, 'uid'>[],
  within: string | null = null,
): Promise<void> {
  const uids = new Set(users.map(({ uid }) => uid));
  const isOwn = (pid: number): boolean =>
    within === null || commandOf(pid).some((argument) => argument.includes(`${within}/`));
  const found = () => processesAs(uids).filter(({ pid }) => isOwn(pid));
  for (let running = found(), round = 0; running.length > 0 && round < MOST_ROUNDS; running = found(), round++) {
    await Promise.all(running.map((identity) => terminate(identity, 0, 'SIGKILL')));
  }
}

/**
 * The installation needs them no more: of several that go at once, one after the other, the last one takes them along, but for those
 * that somebody still needs. Gives why any stayed, a sentence each: another installation of this machine, a process, another account
 * of the same number. Throws `locked`.
 */
export async function removeAccounts(settings: Pick<PlatformSettings, 'id'>): Promise<string[]> {
  using _ = await lockInstallations();
  const kept = await removeUnneeded(settings);
  forgetInstallation(settings);
  return kept;
}

async function removeUnneeded(settings: Pick<PlatformSettings, 'id'>): Promise<string[]> {
  const others = otherInstallations(settings);
  if (others.length > 0) return [`the accounts cupola-* stay: the installation in ${others.join(', ')} has them too`];
  const kept: string[] = [];
  const deadline = performance.now() + MOST_REMOVING_MS;
  for (const account of presentAccounts()) {
    let reason = neededBy(account) ?? (await removeAccount(account));
    // What was killed may be there for a moment still, and others change the list of accounts, too.
    while (reason !== null && performance.now() < deadline) {
      await pause(100);
      reason = neededBy(account) ?? (await removeAccount(account));
    }
    if (reason !== null) kept.push(`the account ${account.name} stays: ${reason}`);
  }
  return kept;
}

/** What keeps an account from being removed; null for nothing. */
function neededBy(account: Account): string | null {
  const other = namesake(account);
  if (other !== null) return `${other} has its number, ${account.uid}`;
  const [running] = processesAs(new Set([account.uid]));
  return running === undefined ? null : `process ${running.pid} runs as it`;
}

/** Why it could not be removed; null where it was. */
async function removeAccount({ name }: Account): Promise<string | null> {
  try {
    await run('userdel', [name], { showWords: true });
    // userdel takes the user's own group along, unless the machine is set not to
    if (groupExists(name)) await run('groupdel', [name], { showWords: true });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Their data directories. */
function otherInstallations({ id }: Pick<PlatformSettings, 'id'>): string[] {
  return [...installations()].flatMap(([other, data]) => (other === id ? [] : [data]));
}

function presentAccounts(): Account[] {
  const proxies = Array.from({ length: MOST_CELLS }, (_, index) => proxyName(index));
  return [...Object.values(NAMES), ...proxies].flatMap((name) => findAccount(name) ?? []);
}

/** Another account that has its number. */
function namesake({ name, uid }: Account): string | null {
  const other = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[2] === String(uid) && fields[0] !== name);
  return other?.[0] ?? null;
}

function findAccount(name: string): Account | null {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined ? null : { name, uid: Number(uid), gid: Number(gid) };
}

function groupExists(name: string): boolean {
  return readFileSync('/etc/group', 'utf8')
    .split('\n')
    .some((line) => line.startsWith(`${name}:`));
}
