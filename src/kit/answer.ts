import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import type { AnswerEntry } from './answer-account.ts';

/** Written to the connection at once, so that it is seen whether the client takes it. */
const CHUNK_BYTES = 64 * 1024;
/** How long a value is serialised before everybody else has a turn. */
const TURN_MS = 10;

/** Answers with JSON, which is written in turns and given to the connection as its client takes it. Throws what the entry throws. */
export async function sendJson(reply: FastifyReply, value: unknown, entry: AnswerEntry): Promise<FastifyReply> {
  const chunks = await jsonChunks(value, entry);
  return sendChunks(reply.type('application/json; charset=utf-8'), chunks, entry);
}

/** Answers with a text whose type is set already, given to the connection as its client takes it. Throws what the entry throws. */
export async function sendText(reply: FastifyReply, text: string, entry: AnswerEntry): Promise<FastifyReply> {
  const encoded = Buffer.from(text);
  entry.write(encoded.length);
  return sendChunks(reply, chunksOf(encoded), entry);
}

function sendChunks(reply: FastifyReply, chunks: Buffer[], entry: AnswerEntry): FastifyReply {
  entry.written();
  if (chunks.length === 1) return reply.send(chunks[0]);
  reply.header(
    'content-length',
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
  return reply.send(Readable.from(emptied(chunks)));
}

function chunksOf(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let start = 0; start < bytes.length || start === 0; start += CHUNK_BYTES) {
    chunks.push(bytes.subarray(start, start + CHUNK_BYTES));
  }
  return chunks;
}

function* emptied(chunks: Buffer[]): Generator<Buffer> {
  for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) yield chunk;
}

async function jsonChunks(value: unknown, entry: AnswerEntry): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  let text = '';
  let since = performance.now();
  const flush = (): void => {
    const bytes = Buffer.from(text);
    text = '';
    entry.write(bytes.length);
    chunks.push(...chunksOf(bytes));
  };
  for (const piece of jsonPieces(value)) {
    text += piece;
    if (text.length >= CHUNK_BYTES) flush();
    if (performance.now() - since < TURN_MS) continue;
    await setImmediate();
    since = performance.now();
  }
  if (text !== '' || chunks.length === 0) flush();
  return chunks;
}

/** The objects of an answer are two deep (`included`), and in them stand the lists that may be long. */
const OBJECTS = 2;

/** What `JSON.stringify` gives, in pieces: each item of a list is one. */
export function* jsonPieces(value: unknown, depth = 0): Generator<string> {
  if (Array.isArray(value)) {
    yield '[';
    for (const [index, item] of value.entries()) yield `${index === 0 ? '' : ','}${JSON.stringify(item) ?? 'null'}`;
    yield ']';
  } else if (depth < OBJECTS && typeof value === 'object' && value !== null && !('toJSON' in value)) {
    yield '{';
    let first = true;
    for (const [name, item] of Object.entries(value)) {
      if (item === undefined || typeof item === 'function' || typeof item === 'symbol') continue;
      yield `${first ? '' : ','}${JSON.stringify(name)}:`;
      first = false;
      yield* jsonPieces(item, depth + 1);
    }
    yield '}';
  } else {
    yield JSON.stringify(value) ?? 'null';
  }
}

/** Within each such time a client takes at least so much of an answer that waits for it. */
export interface AnswerPace {
  ms: number;
  bytes: number;
}

const PACE: AnswerPace = { ms: 30_000, bytes: 128 * 1024 };
const bounded = new WeakSet<ServerResponse>();

/** Ends the connection of a client that does not take its answer; Node would keep both without an end. */
export function boundUntaken(response: ServerResponse, pace: AnswerPace = PACE): void {
  const { socket } = response;
  if (!socket || bounded.has(response)) return;
  bounded.add(response);
  const waiting = (): boolean => socket.writableLength > 0 || response.writableNeedDrain;
  const takenBytes = (): number => socket.bytesWritten - socket.writableLength;
  let before = { waiting: waiting(), taken: takenBytes() };
  const timer = setInterval(() => {
    const now = { waiting: waiting(), taken: takenBytes() };
    if (before.waiting && now.waiting && now.taken - before.taken < pace.bytes) socket.destroy();
    before = now;
  }, pace.ms).unref();
  response.once('close', () => clearInterval(timer));
}
