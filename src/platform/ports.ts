import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { CupolaError } from '../kit/errors.ts';
import { commandOf } from '../kit/process.ts';
import { isFree } from './free-ports.ts';
import { installations } from './host/installations.ts';
import type { PlatformSettings } from './settings/schema.ts';

const LISTEN = '0A';

interface Listener {
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

/** A TCP port of an installation. */
export interface PlatformPort {
  port: number;
  purpose: string;
  /** Clients come there: `up` takes it or says who has it. */
  forClients?: boolean;
}

/** Who listens at a port. */
export interface PortHolder {
  /** "nginx, process 12"; in words where the process cannot be seen. */
  who: string;
  /** What to do about it where it is somebody else's. */
  advice: string;
  /** The names of those of the platform's own processes that hold it. */
  own: string[];
}

/** The ports of an installation, or those a first `up` would take. */
export function portsOf(settings: PlatformSettings | null): PlatformPort[] {
  const client = (port: number, purpose: string): PlatformPort => ({ port, purpose, forClients: true });
  if (!settings) return [client(443, 'HTTPS'), client(80, 'HTTP')];
  const { ports, httpsPort, httpPort, sshPort } = settings;
  const listed = [
    client(httpsPort, 'HTTPS'),
    ...(httpPort === null ? [] : [client(httpPort, 'HTTP')]),
    { port: ports.control, purpose: 'control' },
    { port: ports.rpc, purpose: 'control, internal' },
    { port: ports.nats, purpose: 'NATS' },
    ...(sshPort === null || sshPort === httpsPort ? [] : [client(sshPort, 'SSH')]),
    ...ports.rep.map((port, index) => ({ port, purpose: `cell-${index}` })),
    ...ports.proxy.map((port, index) => ({ port, purpose: `cell-${index} proxy` })),
  ];
  return listed;
}

/** Data directories of the machine's installations, by id. */
type Installations = ReadonlyMap<string, string>;

/** Who holds each of the ports that are taken. `own` are the platform's processes. */
export function portHolders(
  wanted: readonly PlatformPort[],
  own: ReadonlySet<number>,
  known: () => Installations = installations,
): Map<number, PortHolder> {
  const listeners = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => {
    try {
      return parseListeners(readFileSync(path, 'utf8'));
    } catch {
      return [];
    }
  });
  const numbers = new Set(wanted.map(({ port }) => port));
  const taken = listeners.filter(({ port }) => numbers.has(port));
  const processes = processesWithSockets(new Set(taken.map(({ inode }) => inode)));
  // Of several at one port the first that is named counts.
  return new Map(
    taken.toReversed().map(({ port, inode }) => {
      const all = processes.get(inode) ?? [];
      const ownNames = new Set(all.filter(({ pid }) => own.has(pid)).map((process) => process.name));
      return [port, { ...holderOf(all, known), own: [...ownNames].sort() }];
    }),
  );
}

const OTHER_PORT = 'use another port (./cupola up --https-port N)';

/** Of the processes that have the socket, the first is named, and the installation that any of them belongs to. */
function holderOf(all: readonly Process[], known: () => Installations): Pick<PortHolder, 'who' | 'advice'> {
  const [first] = all;
  if (!first) return { who: 'a process of another namespace or account', advice: `end that process, or ${OTHER_PORT}` };
  const commands = all.map(({ pid }) => commandOf(pid));
  const by = (name: string, end: string) => ({
    who: `${name}, process ${first.pid}`,
    advice: `${end}, or ${OTHER_PORT}`,
  });
  if (!commands.flat().some((word) => CUPOLAS.test(word))) return by(first.name, 'end that process');
  const data = dataDirectoryOf(commands, known);
  return data === undefined
    ? by('another installation of Cupola', 'take that one down')
    : by(`the installation of Cupola in ${data}`, `./cupola down --data ${data} stops it`);
}

/** A word of an installation's processes: its directory below /run, or the program of its supervisor. */
const CUPOLAS = /^\/run\/cupola-([^/]+)\/|\/platform\/supervisor-main\.ts$/;

/** Of an installation that the machine has; what a process says of itself is no more than a hint which. */
function dataDirectoryOf(commands: readonly string[][], known: () => Installations): string | undefined {
  const words = new Set(commands.flat());
  const ids = new Set(commands.flat().map((word) => CUPOLAS.exec(word)?.[1]));
  try {
    return [...known()].find(([id, data]) => ids.has(id) || words.has(data))?.[1];
  } catch {
    return undefined; // their notes cannot be read
  }
}

/**
 * Throws `port_taken` with who holds it where a port for clients cannot be had by an installation that is to be started. `own` are the
 * processes of an earlier start, which hand theirs over.
 */
export async function requirePorts(
  settings: PlatformSettings,
  own: ReadonlySet<number>,
  known: () => Installations = installations,
): Promise<void> {
  const wanted = portsOf(settings).filter(({ forClients }) => forClients);
  const holders = portHolders(wanted, own, known);
  for (const { port, purpose } of wanted) {
    const holder = holders.get(port);
    // It may be held at another address than the one that is wanted.
    if (!holder || holder.own.length > 0 || (await isFree(port, settings.bindAddress))) continue;
    throw new CupolaError('port_taken', `port ${port} (${purpose}) is held by ${holder.who}: ${holder.advice}`);
  }
}

interface Process {
  pid: number;
  name: string;
}

function processesWithSockets(inodes: ReadonlySet<string>): Map<string, Process[]> {
  const found = new Map<string, Process[]>();
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
