import { isIP } from 'node:net';
import { NAME_CONNECTIONS } from '../../cell/network/shares.ts';
import { routerAddress } from '../addresses.ts';
import { CONTAINERS_PER_CELL } from '../cell-settings.ts';
import { DOMAIN } from '../settings/domain.ts';
import type { PlatformSettings } from '../settings/schema.ts';

/** Who asks: this machine, or the containers, for whom the router is at another address (their loopback is their own). */
export type Asker = 'machine' | 'containers';

/** The name server that the machine asks for the names of one installation. */
export type DomainServer = Pick<PlatformSettings, 'domain' | 'resolverAddress'>;

/**
 * dnsmasq's configuration: every name of the domain leads to the router, all others to the servers of `renderServers`, in a file
 * that is read again at SIGHUP. One runs for each asker.
 */
export function renderDnsConfig(settings: PlatformSettings, asker: Asker, serversFile: string): string {
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
    `servers-file=${serversFile}`,
    'cache-size=2000',
    ...(asker === 'containers' ? sharesOf(settings) : []),
    'pid-file=',
    'log-facility=-',
    '',
  ].join('\n');
}

const IS_DOMAIN = new RegExp(DOMAIN);

/** Queries that wait for an answer, in a list that dnsmasq walks through: 13 containers with all they may ask, answered by nobody. */
const WAITING_QUERIES = 20_000;

/** Room for what the packet filter lets each container have at once. */
function sharesOf({ cells }: PlatformSettings): string[] {
  return [
    `dns-forward-max=${WAITING_QUERIES}`,
    `max-tcp-connections=${NAME_CONNECTIONS * CONTAINERS_PER_CELL * cells}`,
  ];
}

/**
 * Whom dnsmasq asks: another installation for the names of its domain alone, the machine's own name servers for the rest. So none
 * waits for an installation that is down, and no name goes round. Of the domains that hold a name, the longest counts. What is no
 * domain or no address is left out: dnsmasq does not start with it.
 *
 * Containers reach nothing of another installation on this machine: to them its domain is one of the outside, and the machine's own
 * name servers say where that is. None below .localhost is anywhere (RFC 6761, 6.3): some would answer the asker's own loopback.
 */
export function renderServers(
  own: DomainServer,
  asker: Asker,
  others: readonly DomainServer[],
  upstreams: readonly string[],
): string {
  const byDomain = new Map<string, string>();
  for (const { domain, resolverAddress } of others) {
    const name = domain.toLowerCase();
    const usable = IS_DOMAIN.test(name) && isIP(resolverAddress) === 4 && resolverAddress !== own.resolverAddress;
    if (usable && name !== own.domain.toLowerCase() && !byDomain.has(name)) byDomain.set(name, resolverAddress);
  }
  const installed = new Set([own, ...others].map(({ resolverAddress }) => resolverAddress));
  return [
    ...Array.from(byDomain, ([domain, address]) => `server=/${domain}/${serverFor(asker, domain, address)}\n`),
    ...upstreams.filter((server) => isIP(server) > 0 && !installed.has(server)).map((server) => `server=${server}\n`),
  ].join('');
}

/** As dnsmasq writes it: "#" is those for all other names, nothing is nobody, for names that are not known then. */
function serverFor(asker: Asker, domain: string, address: string): string {
  if (asker === 'machine') return address;
  return /(^|\.)localhost$/.test(domain) ? '' : '#';
}
