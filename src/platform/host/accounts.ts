import { readdirSync, readFileSync } from 'node:fs';
import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';
import type { Account } from '../engines/postgresql.ts';
import type { PlatformSettings } from '../settings.ts';

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

function proxyName(cell: number): string {
  return `cupola-proxy-${cell}`;
}

/** Makes the accounts that are missing: no home, no shell, no password, a group each. */
export async function ensureAccounts(cells: number): Promise<Accounts> {
  const proxies = Array.from({ length: cells }, (_, index) => proxyName(index));
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

/** Removes them, unless another installation of this machine is there or a process still runs as one of them. */
export async function removeAccounts(settings: PlatformSettings): Promise<void> {
  const others = readdirSync('/run').filter(
    (name) => /^cupola-[a-z]{3}$/.test(name) && name !== `cupola-${settings.id}`,
  );
  if (others.length > 0) return;
  const proxies = Array.from({ length: MOST_CELLS }, (_, index) => proxyName(index));
  const accounts = [...Object.values(NAMES), ...proxies].flatMap((name) => findAccount(name) ?? []);
  const busy = runningUids();
  if (accounts.some((account) => busy.has(account.uid))) return;
  for (const account of accounts) {
    await run('userdel', [account.name]);
    // userdel takes the user's own group along, unless the machine is set not to
    if (groupExists(account.name)) await run('groupdel', [account.name]);
  }
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

/** Real, effective, saved and file-system user of every process. */
function runningUids(): Set<number> {
  const uids = new Set<number>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const line = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
      for (const uid of line.split(/\s+/)) uids.add(Number(uid));
    } catch {
      // It ended meanwhile.
    }
  }
  return uids;
}
