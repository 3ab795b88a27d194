import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';
import { type HeldNetwork, socketIn } from '../garden/kernel.ts';
import {
  AF_INET,
  attribute,
  FLAGS,
  ipv4,
  NETLINK_SOCKET,
  Netlink,
  nested,
  number,
  type Request,
  text,
} from './netlink.ts';
import type { NetworkSettings } from './settings.ts';

/* Numbers of linux/rtnetlink.h, if_link.h, if_addr.h and neighbour.h. */
const RTM = { newLink: 16, deleteLink: 17, newAddress: 20, newRoute: 24, newNeighbour: 28 } as const;
const IFLA = { address: 1, name: 3, mtu: 4, info: 18, namespace: 28 } as const;
const IFLA_INFO = { kind: 1, data: 2 } as const;
const VETH_INFO_PEER = 1;
const IFA = { address: 1, local: 2 } as const;
const NDA = { destination: 1, hardwareAddress: 2 } as const;
const RTA = { destination: 1, link: 4, gateway: 5 } as const;
const NUD_PERMANENT = 0x80;
const IFF_UP = 1;
const TABLE_MAIN = 254;
const PROTOCOL_BOOT = 3;
const UNICAST = 1;
const SCOPE = { universe: 0, link: 253 } as const;
const HOST_BITS = 32;
const LOOPBACK = 1;

/** A routed link: no bridge, one /32 on each side, neighbours fixed so that no ARP can redirect anything. Throws `system_call_failed`. */
export async function addLink(options: {
  link: string;
  address: string;
  /** The container's. */
  network: HeldNetwork;
  settings: Pick<NetworkSettings, 'gateway' | 'mtu'>;
}): Promise<void> {
  const { link, address, network, settings } = options;
  const outside = hardwareAddress([0x02, 0xc0], address);
  const inside = hardwareAddress([0x02, 0xc1], address);
  const named = (name: string, hardware: Buffer, up: boolean) => [
    linkOf({ up }),
    attribute(IFLA.name, text(name)),
    attribute(IFLA.address, hardware),
    attribute(IFLA.mtu, number(settings.mtu)),
  ];
  const peer = [...named('eth0', inside, false), attribute(IFLA.namespace, number(network.descriptor))];
  const pair = nested(
    IFLA.info,
    attribute(IFLA_INFO.kind, text('veth')),
    nested(IFLA_INFO.data, nested(VETH_INFO_PEER, ...peer)),
  );
  using host = new Netlink();
  const make = {
    type: RTM.newLink,
    flags: FLAGS.create | FLAGS.exclusive,
    body: [...named(link, outside, true), pair],
  };
  await host.request(`make the link ${link}`, [make]);
  const index = host.indexOf(link);
  await host.request(`lead to the link ${link}`, [
    neighbour(index, address, inside),
    route(index, { destination: address, scope: SCOPE.link, flags: FLAGS.create | FLAGS.replace }),
  ]);
  using container = new Netlink(socketIn(network, NETLINK_SOCKET));
  const eth0 = container.indexOf('eth0');
  await container.request(`set up the link ${link} within its container`, [
    { type: RTM.newLink, body: [linkOf({ index: LOOPBACK, up: true })] },
    ownAddress(eth0, address),
    { type: RTM.newLink, body: [linkOf({ index: eth0, up: true })] }, // which cannot be while there is half of it
    neighbour(eth0, settings.gateway, outside),
    route(eth0, { destination: settings.gateway, scope: SCOPE.link }),
    route(eth0, { gateway: settings.gateway, scope: SCOPE.universe }),
  ]);
}

/** Fine if it is gone, as it is when the container's network namespace went. */
export async function removeLink(link: string): Promise<void> {
  using host = new Netlink();
  const remove = { type: RTM.deleteLink, body: [linkOf({}), attribute(IFLA.name, text(link))] };
  try {
    await host.request(`remove the link ${link}`, [remove]);
  } catch (error) {
    if (!(error instanceof CupolaError && error.fields['errno'] === 'ENODEV')) throw error;
  }
}

/** Links of this machine whose name is the prefix and a number. */
export async function linksOf(prefix: string): Promise<string[]> {
  const listing = await run('ip', ['-o', 'link', 'show', 'type', 'veth']);
  const names = [...listing.matchAll(/^\d+: ([^@:\s]+)/gm)].map((match) => match[1]!);
  return names.filter((name) => name.startsWith(prefix) && /^\d*$/.test(name.slice(prefix.length)));
}

/** struct ifinfomsg. */
function linkOf({ index = 0, up = false }: { index?: number; up?: boolean }): Buffer {
  const packed = Buffer.alloc(16);
  packed.writeInt32LE(index, 4);
  packed.writeUInt32LE(up ? IFF_UP : 0, 8);
  packed.writeUInt32LE(up ? IFF_UP : 0, 12); // what of it is meant
  return packed;
}

/** struct ifaddrmsg. */
function ownAddress(index: number, address: string): Request {
  const packed = Buffer.alloc(8);
  packed.set([AF_INET, HOST_BITS, 0, SCOPE.universe]);
  packed.writeUInt32LE(index, 4);
  const body = [packed, attribute(IFA.local, ipv4(address)), attribute(IFA.address, ipv4(address))];
  return { type: RTM.newAddress, flags: FLAGS.create | FLAGS.exclusive, body };
}

/** struct ndmsg. */
function neighbour(index: number, address: string, hardware: Buffer): Request {
  const packed = Buffer.alloc(12);
  packed[0] = AF_INET;
  packed.writeInt32LE(index, 4);
  packed.writeUInt16LE(NUD_PERMANENT, 8);
  const body = [packed, attribute(NDA.destination, ipv4(address)), attribute(NDA.hardwareAddress, hardware)];
  return { type: RTM.newNeighbour, flags: FLAGS.create | FLAGS.replace, body };
}

/** struct rtmsg: to one address, or to all by a gateway. */
function route(
  index: number,
  {
    destination,
    gateway,
    scope,
    flags = FLAGS.create | FLAGS.exclusive,
  }: { destination?: string; gateway?: string; scope: number; flags?: number },
): Request {
  const packed = Buffer.alloc(12);
  packed.set([AF_INET, destination === undefined ? 0 : HOST_BITS, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, UNICAST]);
  const body = [
    packed,
    ...(destination === undefined ? [] : [attribute(RTA.destination, ipv4(destination))]),
    ...(gateway === undefined ? [] : [attribute(RTA.gateway, ipv4(gateway))]),
    attribute(RTA.link, number(index)),
  ];
  return { type: RTM.newRoute, flags, body };
}

/** Locally administered, and different for every address. */
function hardwareAddress(start: readonly number[], address: string): Buffer {
  return Buffer.concat([Buffer.from(start), ipv4(address)]);
}
