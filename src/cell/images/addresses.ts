import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { METADATA_RANGES } from '../../contracts/metadata-addresses.ts';
import { CupolaError } from '../../kit/errors.ts';

/**
 * Addresses a tenant's registry name may not lead to (SECURITY 28): this machine, its neighbours, the metadata service and
 * everything else that is no public host. RFC 6890 and the IANA special-purpose registries; metadata services at public
 * addresses come on top.
 */
const INTERNAL: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
];

/** What an IPv6 address must be to be public; of it, ranges that carry an IPv4 address inside stay shut. */
const PUBLIC_IPV6: readonly [string, number] = ['2000::', 3];
const TUNNELS: readonly (readonly [string, number])[] = [
  ['2001::', 32],
  ['2002::', 16],
];

interface OwnAddress {
  address: string;
  family: string;
}

/** True for addresses that only an operator may allow. The machine's own count, whatever they are. */
export function isInternalAddress(address: string, own: readonly OwnAddress[] = ownAddresses()): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const shut = new BlockList();
  const open = new BlockList();
  for (const [network, prefix] of INTERNAL) shut.addSubnet(network, prefix, 'ipv4');
  for (const [network, prefix] of TUNNELS) shut.addSubnet(network, prefix, 'ipv6');
  for (const { network, family: of } of METADATA_RANGES) {
    const [start = '', bits] = network.split('/');
    shut.addSubnet(start, Number(bits), of === 4 ? 'ipv4' : 'ipv6');
  }
  for (const { address: one, family: of } of own) {
    shut.addAddress(one.replace(/%.*$/, ''), of === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  open.addSubnet(...PUBLIC_IPV6, 'ipv6');
  return shut.check(address, type) || (type === 'ipv6' && !open.check(address, 'ipv6'));
}

function ownAddresses(): OwnAddress[] {
  return Object.values(networkInterfaces()).flatMap((all) => all ?? []);
}

/**
 * Looks a name up for a connection and refuses where it leads inside: the very address that is connected to was judged,
 * so a name that changes between two looks gains nothing.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) return callback(error, '', 0);
    const open = addresses.filter(({ address }) => !isInternalAddress(address));
    const [first] = open;
    if (!first) return callback(forbidden(hostname), '', 0);
    if (options.all) return callback(null, open);
    callback(null, first.address, first.family);
  });
};

/** Throws `registry_forbidden` for a host written as an internal address, which is never looked up. */
export function refuseInternalLiteral(hostname: string): void {
  const literal = hostname.replace(/^\[|\]$/g, '');
  if (isIP(literal) !== 0 && isInternalAddress(literal)) throw forbidden(hostname);
}

function forbidden(hostname: string): CupolaError {
  return new CupolaError(
    'registry_forbidden',
    `the registry ${hostname} is at an internal address; an operator can allow it`,
  );
}
