import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { CupolaError } from '../kit/errors.ts';

/** Below where Linux takes the ports of outgoing connections from (32768), unless it is told otherwise. */
const PRIVATE_PORTS = [10_000, 20_000] as const;

/**
 * Different ports at which nothing listens and which no outgoing connection is given: what was free when it was written down is to be had at every
 * later start. `range`: a file that says which connections are given. Throws `no_port`.
 */
export async function freePorts(count: number, range = '/proc/sys/net/ipv4/ip_local_port_range'): Promise<number[]> {
  const [begin, last] = PRIVATE_PORTS;
  const given = Number(readFileSync(range, 'utf8').trim().split(/\s+/)[0]);
  // Where the machine gives its connections nearly all, there is none that they never have.
  const end = given >= begin + 1_000 ? Math.min(given, last) : last;
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries += 1) {
    if (tries > end - begin) throw new CupolaError('no_port', 'no free port');
    const port = randomInt(begin, end);
    if (!found.has(port) && (await isFree(port, '0.0.0.0'))) found.add(port);
  }
  return [...found];
}

/** Could somebody listen there? */
export async function isFree(port: number, address: string): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once('error', () => resolve(false));
  server.listen(port, address, () => server.close(() => resolve(true)));
  return promise;
}
