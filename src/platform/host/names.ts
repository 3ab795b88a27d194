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
import { addNameserver, nameserversOf, removeNameserver } from './resolv-conf.ts';

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
export function upstreamNameservers(settings: PlatformSettings): string[] {
  const backup = backupOf(settings);
  const text = readText(existsSync(backup) ? backup : RESOLV_CONF);
  return nameserversOf(text).filter((server) => server !== settings.resolverAddress);
}

/**
 * Makes the machine ask the platform's name server first. The file, or the link that was there, is kept beside it. Does nothing
 * where it is done, and where systemd-resolved answers the domain's names as they should be.
 */
export function installResolver(settings: PlatformSettings, resolvConf = RESOLV_CONF): void {
  const backup = backupOf(settings, resolvConf);
  const present = readText(resolvConf);
  const servers = nameserversOf(present);
  if (servers[0] === settings.resolverAddress) return;
  const resolved = servers.length === 1 && servers[0] === RESOLVED_STUB;
  if (resolved && settings.domain.endsWith('.localhost') && settings.bindAddress === '127.0.0.1') return;
  // Where our line is gone, someone wrote the file anew (DHCP): that is now what to put back.
  if (!servers.includes(settings.resolverAddress)) {
    rmSync(backup, { force: true });
    if (isLink(resolvConf)) symlinkSync(readlinkSync(resolvConf), backup);
    else writeFileSync(backup, present, { mode: modeOf(resolvConf) });
  }
  const rest = removeNameserver(present, settings.resolverAddress);
  replace(resolvConf, addNameserver(rest, settings.resolverAddress), modeOf(resolvConf));
}

/** Puts the name servers back: the very file or link from before, unless someone else changed it since; then only our line goes. */
export function removeResolver(settings: PlatformSettings, resolvConf = RESOLV_CONF): void {
  const backup = backupOf(settings, resolvConf);
  if (!isThere(backup)) return;
  const before = readText(backup);
  const present = readText(resolvConf);
  if (present === addNameserver(before, settings.resolverAddress)) {
    try {
      renameSync(backup, resolvConf);
    } catch {
      writeFileSync(resolvConf, before); // a mount point cannot be replaced
      rmSync(backup);
    }
  } else {
    const without = removeNameserver(present, settings.resolverAddress);
    if (without !== present) replace(resolvConf, without, modeOf(resolvConf));
    rmSync(backup);
  }
  // An installation that came later remembers our line as part of what it found.
  const directory = dirname(resolvConf);
  for (const name of readdirSync(directory).filter((entry) => entry.startsWith(`${basename(resolvConf)}.cupola-`))) {
    const other = join(directory, name);
    if (isLink(other)) continue;
    const text = readText(other);
    const without = removeNameserver(text, settings.resolverAddress);
    if (without !== text) replace(other, without, modeOf(other));
  }
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
