import { CONTROL_REQUESTS, SHARES } from './bounds.ts';
import { STREAM_COUNTERS } from './direct.ts';
import type { RouterSettings } from './settings.ts';

/** An IPv6 /64 is what one subscriber is given. */
const CLIENT = 'ipmask(32,64)';

/** How many connections each front takes; behind the front that tells SSH from TLS a client has two. */
export function clientConnections(settings: RouterSettings): number {
  return Math.floor(settings.maxConnections / (settings.ssh ? 2 : 1));
}

/**
 * Where it is counted who holds what. All fronts count in the same tables, each connection once, where it comes in: `clients`,
 * `spoken` (those of them whose TLS is up, or whose SSH or HTTP has begun), and all containers as one client.
 */
export function shareTables(settings: RouterSettings): string {
  const table = (name: string, type: string, size: string) =>
    `backend ${name} from base\n  stick-table type ${type} size ${size} expire 1m store conn_cur\n\n`;
  const containers = ['containers', 'containers-requests', 'containers-control'].map((name) =>
    table(name, 'ip', '100'),
  );
  return [
    table('clients', 'ipv6', '50k'),
    table('spoken', 'ipv6', '50k'),
    table('control-requests', 'ipv6', '50k'),
    ...(settings.containers ? containers : []),
  ].join('');
}

/**
 * Counts a connection and refuses it beyond its client's share, before a byte of it is read. What has no client's address, as a
 * connection between the router's own fronts has not yet, has been counted at the front before.
 */
export function connectionShares(settings: RouterSettings): string {
  const all = clientConnections(settings);
  const most = mostOf(all);
  return rules('tcp-request connection', [
    ...shares(settings, {
      address: 'src',
      refuse: 'reject if',
      table: 'clients',
      containersTable: 'containers',
      most,
    }),
    `set-var(sess.spoken) src,${CLIENT},table_conn_cur(spoken)`,
    // Many that come at once, of which each will speak, are refused only where room is short.
    `reject if { fe_conn gt ${Math.floor(all / 2)} } { sc0_conn_cur(clients),sub(sess.spoken) gt ${most(SHARES.unspoken)} }`,
  ]);
}

/** How a front says at this point that the connection has begun to speak. */
export function countSpoken(at: 'session' | 'content', condition = ''): string {
  return `  tcp-request ${at} track-sc2 src,${CLIENT} table spoken${condition}\n`;
}

/**
 * The same shares of the requests under way: one connection of HTTP/2 has many. `address`: a variable with the client's. Those to the
 * platform's own hosts have a count of their own, since control takes fewer at a time than the router.
 */
export function requestShares(settings: RouterSettings, address: string, whose: 'control' | 'apps'): string {
  const refuse =
    'return status 429 content-type text/plain hdr Retry-After 1 string "429 Too Many Requests at once\\n" if';
  const control = {
    ...{ table: 'control-requests', containersTable: 'containers-control', only: 'system_host' },
    most: mostOf(CONTROL_REQUESTS),
  };
  const apps = {
    ...{ table: 'one-request', containersTable: 'containers-requests', counters: STREAM_COUNTERS },
    most: mostOf(settings.maxConnections),
  };
  return rules('http-request', shares(settings, { address, refuse, ...(whose === 'apps' ? apps : control) }));
}

interface Counted {
  address: string;
  refuse: string;
  table: string;
  containersTable: string;
  /** Counts only what has this. */
  only?: string;
  counters?: { client: number; containers: number };
  most: (share: number) => number;
}

function shares(
  settings: RouterSettings,
  {
    address,
    refuse: refuseIf,
    table,
    containersTable,
    only = '',
    counters = { client: 0, containers: 1 },
    most,
  }: Counted,
): string[] {
  const refuse = `${refuseIf}${only && ` ${only}`}`;
  const lines = [
    `track-sc${counters.client} ${address},${CLIENT} table ${table}${only && ` if ${only}`}`,
    `${refuse} { sc_conn_cur(${counters.client},${table}) gt ${most(SHARES.client)} }`,
  ];
  if (!settings.containers) return lines;
  const [, bits] = settings.containers.split('/');
  const inside = `{ ${address} -m ip ${settings.containers} }`;
  return [
    ...lines,
    `track-sc${counters.containers} ${address},ipmask(${bits}) table ${containersTable} if ${inside} ${only}`,
    `${refuse} ${inside} { sc_conn_cur(${counters.client},${table}) gt ${most(SHARES.container)} }`,
    `${refuse} ${inside} { sc_conn_cur(${counters.containers},${containersTable}) gt ${most(SHARES.containers)} }`,
  ];
}

function mostOf(all: number): (share: number) => number {
  return (share) => Math.max(10, Math.floor(all * share));
}

function rules(at: string, lines: readonly string[]): string {
  return lines.map((line) => `  ${at} ${line}\n`).join('');
}
