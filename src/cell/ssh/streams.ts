import type { Readable, Writable } from 'node:stream';

/** Writes and waits until there is room again; returns at once where nobody reads any more. */
export async function send(to: Writable, bytes: Uint8Array): Promise<void> {
  if (to.destroyed || to.writableEnded || to.write(bytes)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const event of ['drain', 'close', 'error']) to.once(event, resolve);
  await promise;
  for (const event of ['drain', 'close', 'error']) to.off(event, resolve);
}

/** The chunks of several streams as they come, each asked for its next one only when its last was taken. */
export async function* interleave<Name extends string>(
  streams: Readonly<Record<Name, Readable>>,
): AsyncGenerator<{ from: Name; chunk: Buffer }> {
  const waiting = new Map<Name, Promise<{ from: Name; next: IteratorResult<Buffer> }>>();
  const readers = new Map<Name, AsyncIterator<Buffer>>();
  const ask = (from: Name, reader: AsyncIterator<Buffer>): void => {
    // A stream that breaks off has ended as far as its reader is concerned.
    const next = reader.next().catch(() => ({ done: true, value: undefined }) as const);
    waiting.set(
      from,
      next.then((result) => ({ from, next: result })),
    );
  };
  for (const from of Object.keys(streams) as Name[]) {
    const reader = streams[from].iterator({ destroyOnReturn: false });
    readers.set(from, reader);
    ask(from, reader);
  }
  while (waiting.size > 0) {
    const { from, next } = await Promise.race(waiting.values());
    if (next.done) waiting.delete(from);
    else {
      ask(from, readers.get(from)!);
      yield { from, chunk: next.value };
    }
  }
}
