import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { NAME_CONNECTIONS } from '../../cell/network/shares.ts';
import { routerAddress } from '../addresses.ts';
import { CONTAINERS_PER_CELL } from '../cell-settings.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import {
  addNameserver,
  type KeptCopies,
  type NameServer,
  nameserversOf,
  removeNameserver,
  textToKeep,
  withoutRotate,
} from './resolv-conf.ts';

const RESOLV_CONF = '/etc/resolv.conf';
/** systemd-resolved answers here, and answers every name under .localhost with the loopback address itself. */
const RESOLVED_STUB = '127.0.0.53';

/** Who asks: this machine, or the containers, for whom the router is at another address (their loopback is their own). */
export type Asker = 'machine' | 'containers';

/**
 * dnsmasq's configuration: every name of the domain leads to the router, all others to the machine's own name servers.
 * One runs for each asker.
 */
export function renderDnsConfig(settings: PlatformSettings, asker: Asker, upstreams: readonly string[]): string {
  const here = settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress;
  const router = asker === 'machine' ? here : routerAddress(settings);
  return [
    'port=53',
    `listen-address=${asker === 'machine' ? settings.resolverAddress : settings.gateway}`,
    'bind-interfaces',
    'no-hosts', // the machine's /etc/hosts is not the containers' to read
    'no-resolv', // /etc/resolv.conf leads here
    'no-poll',
    'strict-order', // another installation's, which knows names that the others deny
    `address=/${settings.domain}/${router}`,
    `local=/${settings.domain}/`, // types other than A end here too
    ...upstreams.filter((server) => server !== settings.resolverAddress).map((server) => `server=${server}`),
    'cache-size=2000',
    ...(asker === 'containers' ? sharesOf(settings) : []),
    'pid-file=',
    'log-facility=-',
    '',
  ].join('\n');
}

/** Queries that wait for an answer, in a list that dnsmasq walks through: 13 containers with all they may ask, answered by nobody. */
const WAITING_QUERIES = 20_000;

/** Room for what the packet filter lets each container have at once. */
function sharesOf({ cells }: PlatformSettings): string[] {
  return [
    `dns-forward-max=${WAITING_QUERIES}`,
    `max-tcp-connections=${NAME_CONNECTIONS * CONTAINERS_PER_CELL * cells}`,
  ];
}

/** The machine's own name servers, as they were before this installation. */
export function upstreamNameservers(settings: PlatformSettings, resolvConf = RESOLV_CONF): string[] {
  const backup = backupOf(settings, resolvConf);
  const text = readText(existsSync(backup) ? backup : resolvConf);
  return nameserversOf(text).filter((server) => server !== settings.resolverAddress);
}

/** Whether the machine asks the platform's name server: `unneeded` where systemd-resolved answers the domain's names as they should be. */
export type ResolverLine = 'there' | 'missing' | 'unneeded';

/** What resolv.conf(5) says of this installation. */
export function resolverLine(settings: PlatformSettings, text: string): ResolverLine {
  const servers = nameserversOf(text);
  if (servers.includes(settings.resolverAddress)) return 'there';
  const resolved = servers.length === 1 && servers[0] === RESOLVED_STUB;
  const unneeded = resolved && settings.domain.endsWith('.localhost') && settings.bindAddress === '127.0.0.1';
  return unneeded ? 'unneeded' : 'missing';
}

/**
 * Makes the machine ask the platform's name server: first, or right behind the installation that passes names on to it. The file, or
 * the link that was there, is kept beside it. Does nothing where it is done or unneeded.
 */
export function installResolver(settings: PlatformSettings, resolvConf = RESOLV_CONF): void {
  const present = readText(resolvConf);
  const line = resolverLine(settings, present);
  if (line === 'unneeded') return;
  const [own, others] = [nameServerOf(settings), otherCopies(settings, resolvConf)];
  const backup = backupOf(settings, resolvConf);
  const before = isThere(backup) ? readText(backup) : null;
  const kept = textToKeep(present, own, before, others);
  // Where our line is gone, someone wrote the file anew (DHCP): that is now what to put back.
  if (line === 'missing' && kept === present && isLink(resolvConf)) {
    rmSync(backup, { force: true });
    symlinkSync(readlinkSync(resolvConf), backup);
  } else if (line === 'missing' || kept !== before) replace(backup, kept, modeOf(resolvConf));
  const wanted = addNameserver(present, own, others);
  if (wanted !== present) replace(resolvConf, wanted, modeOf(resolvConf));
}

/**
 * For a platform that runs: puts its line back where it is missing, else does nothing. Null where it is there or unneeded; else whether
 * its name server, until it starts anew, asks others than it would then.
 */
export function restoreResolver(settings: PlatformSettings, resolvConf = RESOLV_CONF): { outdated: boolean } | null {
  if (resolverLine(settings, readText(resolvConf)) !== 'missing') return null;
  const before = upstreamNameservers(settings, resolvConf);
  installResolver(settings, resolvConf);
  return { outdated: upstreamNameservers(settings, resolvConf).join() !== before.join() };
}

/**
 * Puts the name servers back: the very file or link from before, unless someone else changed it since; then only our line goes. What
 * another installation keeps still names our address: its name server asks there until it starts anew, and whoever comes to that
 * address next must know.
 */
export function removeResolver(settings: PlatformSettings, resolvConf = RESOLV_CONF): void {
  const backup = backupOf(settings, resolvConf);
  const before = isThere(backup) ? readText(backup) : null;
  const present = readText(resolvConf);
  const rest = removeNameserver(present, nameServerOf(settings));
  if (before !== null && rest !== present && rest === withoutRotate(before)) {
    try {
      renameSync(backup, resolvConf);
    } catch {
      writeFileSync(resolvConf, before); // a mount point cannot be replaced
    }
  } else if (rest !== present) replace(resolvConf, rest, modeOf(resolvConf));
  rmSync(backup, { force: true });
}

function nameServerOf({ id, resolverAddress }: PlatformSettings): NameServer {
  return { id, address: resolverAddress };
}

/** Of the other installations, whether they run or not. */
function otherCopies({ id }: PlatformSettings, resolvConf: string): KeptCopies {
  const directory = dirname(resolvConf);
  const prefix = `${basename(resolvConf)}.cupola-`;
  const ids = readdirSync(directory)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((other) => /^[a-z]{3}$/.test(other) && other !== id);
  return new Map(ids.map((other) => [other, readText(join(directory, `${prefix}${other}`))]));
}

function backupOf(settings: PlatformSettings, resolvConf = RESOLV_CONF): string {
  return `${resolvConf}.cupola-${settings.id}`;
}

/** Whole or not at all; in place only where the file is a mount point, as in a container. */
function replace(path: string, text: string, mode: number): void {
  const part = `${path}.cupola-part`;
  rmSync(part, { force: true });
  writeFileSync(part, text, { mode });
  try {
    renameSync(part, path);
  } catch {
    rmSync(part);
    writeFileSync(path, text);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // missing, or a link to nothing
  }
}

function modeOf(path: string): number {
  try {
    return statSync(path).mode & 0o777;
  } catch {
    return 0o644;
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
