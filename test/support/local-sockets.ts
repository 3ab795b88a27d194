import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { run } from '../../src/kit/process.ts';

/** An account that the platform does not know. */
const NOBODY = 65_534;

/** Each socket with what came of it for nobody: "open", or the error. */
export function knockAsNobody(targets: readonly (string | { host: string; port: number })[]): Map<string, string> {
  const script = `
    const targets = JSON.parse(process.argv[1]);
    for (const target of targets) {
      const said = (word) => { console.log(JSON.stringify([target, word])); socket.destroy(); };
      const socket = require('node:net').connect(target);
      socket.once('connect', () => said('open')).once('error', (error) => said(error.code)).setTimeout(5_000, () => said('silent'));
    }`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', script, JSON.stringify(targets)], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: '/',
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  const lines = stdout.trim().split('\n').filter(Boolean);
  return new Map(
    lines.map((line) => {
      const [target, word] = JSON.parse(line) as [string | { host: string; port: number }, string];
      return [typeof target === 'string' ? target : `${target.host}:${target.port}`, word];
    }),
  );
}

/**
 * Every Unix socket below these directories: those that lie there, and those the kernel knows by such a name. A program may bind one
 * under another name and rename it (HAProxy does), or bind it from where it works, so that neither list has all.
 */
export async function unixSocketsBelow(directories: readonly string[]): Promise<string[]> {
  const found = (await run('find', [...directories, '-xdev', '-type', 's'])).split('\n').filter(Boolean);
  const bound = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .flatMap((line) => /\s(\/\S.*)$/.exec(line)?.[1] ?? [])
    .filter((path) => directories.some((directory) => path.startsWith(`${directory}/`)) && existsSync(path));
  return [...new Set([...found, ...bound])].sort();
}

/** Where these processes listen for TCP. */
export async function tcpListenersOf(pids: ReadonlySet<number>): Promise<{ host: string; port: number }[]> {
  const lines = (await run('ss', ['-Htlnp'])).split('\n').filter(Boolean);
  const found = lines.flatMap((line) => {
    const [, , , local = ''] = line.trim().split(/\s+/);
    const own = [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => pids.has(Number(pid)));
    const [, host, port] = /^\[?([^\]%]+)[^:]*:(\d+)$/.exec(local) ?? [];
    return own && host !== undefined ? [{ host, port: Number(port) }] : [];
  });
  return [...new Map(found.map((one) => [`${one.host}:${one.port}`, one])).values()];
}

/** Abstract sockets that these processes listen on: no file says who may connect to one. */
export function abstractListeners(pids: ReadonlySet<number>, inodesOf: (pid: number) => Set<string>): string[] {
  const inodes = new Set([...pids].flatMap((pid) => [...inodesOf(pid)]));
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , , flags, , , inode = '', name = ''] = line.trim().split(/\s+/);
      const listens = (Number.parseInt(flags ?? '0', 16) & 0x10000) !== 0;
      return listens && name.startsWith('@') && inodes.has(inode) ? [name] : [];
    });
}
