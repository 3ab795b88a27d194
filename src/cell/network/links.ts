import { run } from '../../kit/process.ts';
import { numberOf } from './addresses.ts';
import type { NetworkSettings } from './settings.ts';

/** A routed link: no bridge, one /32 on each side, neighbours fixed so that no ARP can redirect anything. */
export async function addLink(options: {
  link: string;
  address: string;
  pid: number;
  settings: NetworkSettings;
}): Promise<void> {
  const { link, address, pid, settings } = options;
  const outside = hardwareAddress('02:c0', address);
  const inside = hardwareAddress('02:c1', address);
  await run('ip', ['-batch', '-'], {
    input: [
      `link add ${link} address ${outside} mtu ${settings.mtu} type veth peer name eth0 address ${inside} mtu ${settings.mtu} netns ${pid}`,
      `link set ${link} up`,
      `neigh replace ${address} lladdr ${inside} dev ${link} nud permanent`,
      `route replace ${address}/32 dev ${link}`,
      '',
    ].join('\n'),
  });
  await run('nsenter', ['-t', String(pid), '-n', 'ip', '-batch', '-'], {
    input: [
      'link set lo up',
      `addr add ${address}/32 dev eth0`,
      'link set eth0 up',
      `neigh replace ${settings.gateway} lladdr ${outside} dev eth0 nud permanent`,
      `route add ${settings.gateway} dev eth0 scope link`,
      `route add default via ${settings.gateway} dev eth0`,
      '',
    ].join('\n'),
  });
}

/** Fine if it is gone, as it is when the container's network namespace went. */
export async function removeLink(link: string): Promise<void> {
  try {
    await run('ip', ['link', 'delete', link]);
  } catch (error) {
    if ((await linksOf(link)).includes(link)) throw error;
  }
}

/** Links of this machine whose name is the prefix and a number. */
export async function linksOf(prefix: string): Promise<string[]> {
  const listing = await run('ip', ['-o', 'link', 'show', 'type', 'veth']);
  const names = [...listing.matchAll(/^\d+: ([^@:\s]+)/gm)].map((match) => match[1]!);
  return names.filter((name) => name.startsWith(prefix) && /^\d*$/.test(name.slice(prefix.length)));
}

/** Locally administered, and different for every address. */
function hardwareAddress(start: string, address: string): string {
  const hex = numberOf(address).toString(16).padStart(8, '0');
  return `${start}:${hex.match(/../g)!.join(':')}`;
}
