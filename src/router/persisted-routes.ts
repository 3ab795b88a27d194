import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../kit/errors.ts';
import { isRecord } from '../kit/json.ts';
import { readPlainFile } from '../kit/owned-files.ts';
import { inTurns } from '../kit/turns.ts';
import {
  EMPTY_ROUTE_TABLE,
  isRouteKey,
  isRouteServer,
  type RouteChange,
  type RoutePool,
  type RouteServer,
  type RouteTable,
} from './route-table.ts';

/*
 * What is wanted is written before HAProxy is told, so that a HAProxy that starts later has it too, with control away: a table, and
 * beside it the changes since then, a line each. The changes name the table that they belong to: those of another one say nothing.
 */
const FILE = 'routes.json';
const CHANGES = 'routes.changes';
const MAX_BYTES = 256 * 1024 * 1024;
const MOST_CHANGES_BYTES = 16 * 1024 * 1024;
/** A change of more slots and routes is not made a line of. */
const MOST_IN_A_LINE = 5_000;
/** Of a table, written at once. */
const PIECE_CHARACTERS = 65_536;

/** The one who writes. Whatever fails leaves the files as they may be, and has the table written as a whole the next time. */
export class PersistedRoutes {
  readonly #directory: string;
  /** What the files hold; null where that is not known. */
  #written: { id: string; tableBytes: number; changesBytes: number } | null = null;

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory;
  }

  /** False where the table is better written as a whole, when it is at hand: changes have come to a part of its size, or are not known. */
  get isShort(): boolean {
    return this.#written !== null && this.#written.changesBytes * 4 <= this.#written.tableBytes;
  }

  /** Others have their turns meanwhile. */
  async replace(table: RouteTable): Promise<void> {
    this.#written = null;
    await mkdir(this.#directory, { recursive: true });
    const path = join(this.#directory, FILE);
    const id = randomUUID();
    const tableBytes = await writeTable(`${path}.new`, tableText(id, table));
    await rename(`${path}.new`, path);
    this.#written = { id, tableBytes, changesBytes: 0 };
  }

  /** `table` is what it leads to, for when there are too many changes. */
  async append({ pools, routes }: RouteChange, table: () => RouteTable): Promise<void> {
    if (pools.size + routes.size === 0) return;
    const written = this.#written;
    if (pools.size + routes.size > MOST_IN_A_LINE) return this.replace(table());
    const line = `${JSON.stringify({
      pools: [...pools].map(([slot, pool]) => pool ?? slot),
      routes: [...routes].map(([key, slot]) => (slot === undefined ? [key] : [key, slot])),
    })}\n`;
    if (!written || written.changesBytes + line.length > MOST_CHANGES_BYTES) return this.replace(table());
    this.#written = null;
    const path = join(this.#directory, CHANGES);
    if (written.changesBytes > 0) await appendFile(path, line);
    else await writeFile(path, `${JSON.stringify({ table: written.id })}\n${line}`, { mode: 0o640 });
    this.#written = { ...written, changesBytes: written.changesBytes + line.length };
  }
}

/** The table as JSON, entry by entry. */
function* tableText(id: string, { pools, routes }: RouteTable): Generator<string> {
  yield `{"version":1,"id":${JSON.stringify(id)},"pools":[`;
  let separator = '';
  for (const pool of pools) {
    yield `${separator}${JSON.stringify(pool)}`;
    separator = ',';
  }
  yield '],"routes":[';
  separator = '';
  for (const route of routes) {
    yield `${separator}${JSON.stringify(route)}`;
    separator = ',';
  }
  yield ']}';
}

/** Gives how long it has become. */
async function writeTable(path: string, texts: Iterable<string>): Promise<number> {
  let length = 0;
  await using file = await open(path, 'w', 0o640);
  for await (const piece of inPieces(texts)) {
    await file.appendFile(piece);
    length += piece.length;
  }
  return length;
}

async function* inPieces(texts: Iterable<string>): AsyncGenerator<string> {
  let piece = '';
  for await (const text of inTurns(texts)) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}

/**
 * The table as it was last written. Every value is checked: the supervisor, which has more rights than the writer, makes
 * configuration of it. What does not pass is left out; a missing or broken file is an empty table with a `problem`. Changes are taken
 * up to the first line that is none, and the last line only where it is whole.
 */
export async function readPersistedRoutes(
  stateDirectory: string,
  poolSize: number,
): Promise<{ table: RouteTable; found: boolean; problem?: string }> {
  let lines: string[] = [];
  let text: string | null;
  let problem: string | undefined;
  try {
    // The reader may be root, and the directory is not root's. Changes first: a table that is written meanwhile has them all.
    lines = readPlainFile(join(stateDirectory, CHANGES), 2 * MOST_CHANGES_BYTES)?.split('\n') ?? [];
  } catch (error) {
    problem = messageOf(error);
  }
  try {
    text = readPlainFile(join(stateDirectory, FILE), MAX_BYTES);
  } catch (error) {
    return { table: EMPTY_ROUTE_TABLE, found: false, problem: messageOf(error) };
  }
  if (text === null) return { table: EMPTY_ROUTE_TABLE, found: false };
  const parsed = parsedRecord(text);
  if (!parsed) return { table: EMPTY_ROUTE_TABLE, found: false, problem: `${FILE} is not JSON` };
  const read = new ReadRoutes(poolSize);
  if (!(await read.take(parsed))) {
    return { table: EMPTY_ROUTE_TABLE, found: false, problem: `${FILE} has not the expected shape` };
  }
  const [header = '', ...changes] = lines.slice(0, -1); // after the last line's end is nothing, or a line that is not whole
  if (typeof parsed['id'] === 'string' && parsedRecord(header)?.['table'] === parsed['id']) {
    for (const line of changes) {
      if (await read.take(parsedRecord(line))) continue;
      problem = `${CHANGES} has a line that is no change; those from there on are left out`;
      break;
    }
  }
  return { table: await read.table(), found: true, ...(problem !== undefined && { problem }) };
}

class ReadRoutes {
  readonly #poolSize: number;
  readonly #pools = new Map<number, RoutePool>();
  readonly #routes = new Map<string, number | null>();

  constructor(poolSize: number) {
    this.#poolSize = poolSize;
  }

  /** A table or a change; false where it is neither. */
  async take(value: Record<string, unknown> | null): Promise<boolean> {
    if (!value || !Array.isArray(value['pools']) || !Array.isArray(value['routes'])) return false;
    for await (const candidate of inTurns<unknown>(value['pools'])) {
      const slot: unknown = isRecord(candidate) ? candidate['slot'] : candidate;
      if (typeof slot === 'number') this.#pools.delete(slot);
      const pool = readPool(candidate, this.#poolSize);
      if (pool) this.#pools.set(pool.slot, pool);
    }
    for await (const entry of inTurns<unknown>(value['routes'])) {
      if (!Array.isArray(entry)) continue;
      const [key, slot]: unknown[] = entry;
      if (typeof key !== 'string' || !isRouteKey(key)) continue;
      if (slot === undefined) this.#routes.delete(key);
      else this.#routes.set(key, typeof slot === 'number' ? slot : null);
    }
    return true;
  }

  /** A route never leads to a slot that has no pool. */
  async table(): Promise<RouteTable> {
    for await (const [key, slot] of inTurns(this.#routes)) {
      if (slot !== null && !this.#pools.has(slot)) this.#routes.set(key, null);
    }
    return { pools: [...this.#pools.values()], routes: this.#routes };
  }
}

function readPool(value: unknown, poolSize: number): RoutePool | null {
  if (!isRecord(value) || typeof value['key'] !== 'string' || !Array.isArray(value['servers'])) return null;
  const { slot, key } = value;
  if (typeof slot !== 'number' || !Number.isInteger(slot) || slot < 0 || slot >= poolSize) return null;
  const servers = new Map<string, RouteServer>();
  for (const candidate of value['servers']) {
    const server = readServer(candidate);
    if (server) servers.set(server.instanceGuid, server);
  }
  return { slot, key, servers: [...servers.values()] };
}

function readServer(value: unknown): RouteServer | null {
  if (!isRecord(value)) return null;
  const { instanceGuid, address, port, http2, appGuid, processGuid, index } = value;
  if (typeof instanceGuid !== 'string' || typeof address !== 'string' || typeof port !== 'number') return null;
  if (typeof http2 !== 'boolean' || typeof appGuid !== 'string' || typeof index !== 'number') return null;
  if (processGuid !== undefined && typeof processGuid !== 'string') return null;
  const server = {
    instanceGuid,
    address,
    port,
    http2,
    appGuid,
    ...(processGuid !== undefined && { processGuid }),
    index,
  };
  return isRouteServer(server) ? server : null;
}

function parsedRecord(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
