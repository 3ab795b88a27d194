import { metadataNetworks } from '../../contracts/metadata-addresses.ts';
import type { EgressChain } from './egress.ts';
import type { NetworkSettings } from './settings.ts';
import { CONNECTIONS, NAME_CONNECTIONS, NAME_QUERIES } from './shares.ts';

/** A container as the packet filter knows it. */
export interface Member {
  link: string;
  address: string;
  chain: EgressChain;
}

/** Name of the table of the cell with this prefix. */
export function tableName(prefix: string): string {
  return `cupola_${prefix}`;
}

/**
 * The whole packet filter of one cell, to be applied at once in place of what was there.
 * Default deny: a packet of a container passes because a line below says so. A dropped spoof leaves no trace, a refused
 * connection learns it at once.
 */
export function renderTable(prefix: string, settings: NetworkSettings, members: readonly Member[]): string {
  const table = `inet ${tableName(prefix)}`;
  const links = `"${prefix}*"`;
  const { range, gateway, overlay = range, router } = settings;
  const machine = `"${settings.machinePrefix ?? prefix}*"`;
  const callers = [0, ...(settings.callers ?? [])].join(', ');
  const own = [
    gateway,
    router?.address,
    settings.cellAddress,
    ...(settings.hostServices ?? []).map((one) => one.address),
  ];
  const local = [...new Set(own.filter((address) => address !== undefined))].join(', ');
  const services = (settings.hostServices ?? []).map(({ address, port }) => `${address} . ${port}`);
  return `
add table ${table}
delete table ${table}
table ${table} {
  # Which address belongs to which link; which egress chain to which address.
  set bind { type ifname . ipv4_addr; }
  map egress { type ipv4_addr : verdict; }
  # Source and destination address, protocol and port of container-to-container policies.
  set c2c { type ipv4_addr . ipv4_addr . inet_proto . inet_service; }
  set host_services { type ipv4_addr . inet_service; ${services.length ? `elements = { ${services.join(', ')} };` : ''} }

  # Shares by container of what all have together.
  set connections { type ipv4_addr; size 4096; flags dynamic; }
  set name_connections { type ipv4_addr; size 4096; flags dynamic; }
  set name_queries { type ipv4_addr; size 4096; flags dynamic,timeout; timeout 2m; }

  chain denied {
    # Over a link without delay an ICMP answer comes while connect(2) holds the socket, and is lost for a second.
    meta l4proto tcp reject with tcp reset
    reject with icmpx type port-unreachable
  }
  chain between {
    ip saddr . ip daddr . meta l4proto . th dport @c2c accept
    goto denied
  }
  chain from_container {
    meta nfproto ipv6 drop
    iifname . ip saddr != @bind drop
    ct state vmap { established : accept, related : accept, invalid : drop }
    ip daddr { ${metadataNetworks(4).join(', ')} } goto denied
    add @connections { ip saddr ct count over ${CONNECTIONS} } goto denied
    ip daddr ${overlay} goto between
    ip saddr vmap @egress
    goto denied
  }
  chain to_container {
    ct state vmap { established : accept, related : accept, invalid : drop }
    # From a container of another cell, which has judged where it comes from.
    iifname ${machine} ip saddr . ip daddr . meta l4proto . th dport @c2c accept
    drop
  }
  # Before the machine looks for a way: where it has none, and where a packet is too large or may go no further, it answers by itself,
  # and whoever asks would learn which addresses have containers. Between cells the sender's judges: a refusal is told, a drop is not.
  chain before_routing {
    type filter hook prerouting priority filter; policy accept;
    iifname ${links} ip daddr ${overlay} ip daddr != { ${local} } goto from_container
    iifname != "lo" iifname != ${machine} ip daddr ${range} goto to_container
  }
  chain leave {
    type filter hook forward priority filter; policy accept;
    iifname ${links} goto from_container
  }
  chain arrive {
    type filter hook forward priority filter; policy accept;
    oifname ${links} goto to_container
  }
  chain to_host {
    meta nfproto ipv6 drop
    iifname . ip saddr != @bind drop
    # Before what is established: many queries may share one socket.
    ip daddr ${gateway} udp dport 53 goto name_query
    ct state vmap { established : accept, related : accept, invalid : drop }
    ip daddr ${gateway} tcp dport 53 add @name_connections { ip saddr ct count over ${NAME_CONNECTIONS} } goto denied
    ip daddr ${gateway} tcp dport 53 accept
    add @connections { ip saddr ct count over ${CONNECTIONS} } goto denied
    meta l4proto tcp ip daddr . tcp dport @host_services accept
${
  router
    ? `    ip daddr ${router.address} tcp dport { ${router.ports.join(', ')} } ip saddr vmap @egress
`
    : ''
}    goto denied
  }
  chain name_query {
    update @name_queries { ip saddr limit rate over ${NAME_QUERIES.perSecond}/second burst ${NAME_QUERIES.burst} packets } drop
    accept
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname ${links} goto to_host
  }
  # What this machine's own processes begin. To other accounts an app is where its routes lead.
  chain from_host {
    meta nfproto ipv6 drop
    ct state vmap { established : accept, related : accept }
    meta skuid { ${callers} } accept
    goto denied
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname ${links} goto from_host
    # The containers' name server is nobody else's: who asks it has a share of it.
    oifname "lo" ip daddr ${gateway} ct state new meta skuid != 0 goto denied
  }
  chain masquerade_out {
    type nat hook postrouting priority srcnat;
    ip saddr ${range} ip daddr != ${overlay} oifname != ${machine} masquerade
  }
}
${uniqueChains(members)
  .map((chain) => addChain(prefix, chain))
  .join('')}${members.map((member) => admit(prefix, member)).join('')}`;
}

/** A chain of egress rules, in place of what it held; what no rule lets through is denied. */
export function addChain(prefix: string, chain: EgressChain): string {
  const place = `inet ${tableName(prefix)} ${chain.name}`;
  const lines = [
    `add chain ${place}`,
    `flush chain ${place}`,
    ...chain.rules.map((rule) => `add rule ${place} ${rule}`),
  ];
  return `${lines.join('\n')}\nadd rule ${place} goto denied\n`;
}

/** Takes a chain away that no container is judged by any more. */
export function removeChain(prefix: string, name: string): string {
  const place = `inet ${tableName(prefix)} ${name}`;
  return `flush chain ${place}\ndelete chain ${place}\n`;
}

/** Lets the container's packets in, to be judged by its chain. */
export function admit(prefix: string, { link, address, chain }: Member): string {
  const table = `inet ${tableName(prefix)}`;
  return `add element ${table} bind { "${link}" . ${address} }\n${addVerdict(prefix, address, chain.name)}`;
}

/** The contrary of `admit`. */
export function expel(prefix: string, { link, address }: Pick<Member, 'link' | 'address'>): string {
  const table = `inet ${tableName(prefix)}`;
  return `delete element ${table} bind { "${link}" . ${address} }\n${removeVerdict(prefix, address)}`;
}

/** Has packets of this address judged by the chain. */
export function addVerdict(prefix: string, address: string, chain: string): string {
  return `add element inet ${tableName(prefix)} egress { ${address} : goto ${chain} }\n`;
}

/** The contrary of `addVerdict`. */
export function removeVerdict(prefix: string, address: string): string {
  return `delete element inet ${tableName(prefix)} egress { ${address} }\n`;
}

function uniqueChains(members: readonly Member[]): EgressChain[] {
  return [...new Map(members.map(({ chain }) => [chain.name, chain])).values()];
}
