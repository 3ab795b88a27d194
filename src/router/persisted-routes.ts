import { constants } from 'node:fs';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError, messageOf } from '../kit/errors.ts';
import {
  EMPTY_ROUTE_TABLE,
  isRouteKey,
  isRouteServer,
  type RoutePool,
  type RouteServer,
  type RouteTable,
} from './route-table.ts';

const FILE = 'routes.json';
const MAX_BYTES = 256 * 1024 * 1024;

/** Writes what is wanted before HAProxy is told, so that a HAProxy that starts later has it too, with control away. */
export async function persistRoutes(stateDirectory: string, table: RouteTable): Promise<void> {
  await mkdir(stateDirectory, { recursive: true });
  const path = join(stateDirectory, FILE);
  const text = JSON.stringify({ version: 1, pools: table.pools, routes: [...table.routes] });
  await writeFile(`${path}.new`, text, { mode: 0o640 });
  await rename(`${path}.new`, path);
}

/**
 * The table as it was last written. Every value is checked: the supervisor, which has more rights than the writer, makes
 * configuration of it. What does not pass is left out; a missing or broken file is an empty table with a `problem`.
 */
export async function readPersistedRoutes(
  stateDirectory: string,
  poolSize: number,
): Promise<{ table: RouteTable; found: boolean; problem?: string }> {
  let text: string;
  try {
    text = await readPlainFile(join(stateDirectory, FILE));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { table: EMPTY_ROUTE_TABLE, found: false };

    return { table: EMPTY_ROUTE_TABLE, found: false, problem: messageOf(error) };
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { table: EMPTY_ROUTE_TABLE, found: false, problem: `${FILE} is not JSON` };
  }
  if (!isRecord(parsed) || !Array.isArray(parsed.pools) || !Array.isArray(parsed.routes)) {
    return { table: EMPTY_ROUTE_TABLE, found: false, problem: `${FILE} has not the expected shape` };
  }
  const pools = new Map<number, RoutePool>();
  for (const candidate of parsed.pools) {
    const pool = readPool(candidate, poolSize);
    if (pool) pools.set(pool.slot, pool);
  }
  const routes = new Map<string, number | null>();
  for (const entry of parsed.routes) {
    if (!Array.isArray(entry)) continue;
    const [key, slot]: unknown[] = entry;
    if (typeof key !== 'string' || !isRouteKey(key)) continue;
    routes.set(key, typeof slot === 'number' && pools.has(slot) ? slot : null);
  }
  return { table: { pools: [...pools.values()], routes }, found: true };
}

/** The reader may be root and the directory is not root's: no link is followed, and no pipe is waited for. */
async function readPlainFile(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > MAX_BYTES)
      throw new CupolaError('bad_routes_file', `${FILE} is not a plain file`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function readPool(value: unknown, poolSize: number): RoutePool | null {
  if (!isRecord(value) || typeof value.key !== 'string' || !Array.isArray(value.servers)) return null;
  const { slot, key } = value;
  if (typeof slot !== 'number' || !Number.isInteger(slot) || slot < 0 || slot >= poolSize) return null;
  const servers = new Map<string, RouteServer>();
  for (const candidate of value.servers) {
    const server = readServer(candidate);
    if (server) servers.set(server.instanceGuid, server);
  }
  return { slot, key, servers: [...servers.values()] };
}

function readServer(value: unknown): RouteServer | null {
  if (!isRecord(value)) return null;
  const { instanceGuid, address, port, http2, appGuid, index } = value;
  if (typeof instanceGuid !== 'string' || typeof address !== 'string' || typeof port !== 'number') return null;
  if (typeof http2 !== 'boolean' || typeof appGuid !== 'string' || typeof index !== 'number') return null;
  const server = { instanceGuid, address, port, http2, appGuid, index };
  return isRouteServer(server) ? server : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
