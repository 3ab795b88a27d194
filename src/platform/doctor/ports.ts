import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { PlatformSettings } from '../settings.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, fail } = findingsOf('ports');
const LISTEN = '0A';

export interface Listener {
  port: number;
  inode: string;
}

/** Listening TCP sockets of /proc/net/tcp or tcp6. */
export function parseListeners(text: string): Listener[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state !== LISTEN || local === undefined || inode === undefined) return [];
      return [{ port: Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16), inode }];
    });
}

/** Which of the ports are taken, and by whom; those of the platform's own processes are fine. */
export function portFindings(wanted: ReadonlyMap<number, string>, own: ReadonlySet<number>): Finding[] {
  const listeners = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => {
    try {
      return parseListeners(readFileSync(path, 'utf8'));
    } catch {
      return [];
    }
  });
  const holders = holdersOf(new Set(listeners.filter(({ port }) => wanted.has(port)).map(({ inode }) => inode)));
  return [...wanted].map(([port, purpose]) => {
    const found = listeners.find((listener) => listener.port === port);
    const what = `${port} (${purpose})`;
    if (!found) return ok(what, 'free');
    const all = holders.get(found.inode) ?? [];
    const ours = all.filter(({ pid }) => own.has(pid)).map(({ name }) => name);
    if (ours.length > 0) return ok(what, `the platform's own (${[...new Set(ours)].sort().join(', ')})`);
    const [holder] = all;
    const who = holder ? `${holder.name}, process ${holder.pid}` : 'a process of another namespace or account';
    return fail(what, `held by ${who}`, 'end that process, or use another port (./cupola up --https-port N)');
  });
}

/** The ports of an installation, or those a first `up` would take. */
export function portsOf(settings: PlatformSettings | null): Map<number, string> {
  if (!settings) {
    return new Map([
      [443, 'HTTPS'],
      [80, 'HTTP'],
    ]);
  }
  const { ports } = settings;
  return new Map([
    [settings.httpsPort, 'HTTPS'],
    ...(settings.httpPort === null ? [] : [[settings.httpPort, 'HTTP'] as const]),
    [ports.control, 'control'],
    [ports.rpc, 'control, internal'],
    [ports.nats, 'NATS'],
    ...(settings.sshPort === null
      ? []
      : [[settings.sshPort, 'SSH'] as const, [ports.ssh, 'SSH, behind the router'] as const]),
    ...ports.rep.map((port, index) => [port, `cell-${index}`] as const),
    ...ports.proxy.map((port, index) => [port, `cell-${index} proxy`] as const),
  ]);
}

function holdersOf(inodes: ReadonlySet<string>): Map<string, { pid: number; name: string }[]> {
  const found = new Map<string, { pid: number; name: string }[]>();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1];
        if (inode === undefined || !inodes.has(inode)) continue;
        const holder = { pid: Number(pid), name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
        found.set(inode, [...(found.get(inode) ?? []), holder]);
      }
    } catch {
      // It ended, or is another account's.
    }
  }
  return found;
}
