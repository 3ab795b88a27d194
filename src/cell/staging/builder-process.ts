import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { ContainerProcess } from '../garden/garden.ts';
import { LineAssembler, parseRecord } from '../logs/records.ts';
import { FileTail } from '../logs/tail.ts';
import type { StagingLog } from './transfers.ts';

/** Tells every line the builder writes and waits for its end; kills it and rejects when `signal` aborts. */
export async function followToEnd(
  process: ContainerProcess,
  { signal, say, log }: { signal: AbortSignal; say: StagingLog; log: Logger },
): Promise<{ exitCode: number; outOfMemory: boolean }> {
  const kill = () => {
    process.signal('SIGKILL').catch(() => {}); // the container is destroyed in any case
  };
  signal.addEventListener('abort', kill, { once: true });
  const lines = new LineAssembler();
  const tail = new FileTail(
    process.logPath,
    null,
    async (pieces) => {
      for (const piece of pieces) {
        const record = parseRecord(piece);
        const line = record && lines.push(record);
        if (line) say(line.payload.toString('utf8'), line.stderr);
      }
    },
    (error) => log.warn('the staging log broke off', { error: messageOf(error) }),
  );
  try {
    if (signal.aborted) kill();
    const exit = await Promise.race([process.exit, aborted(signal)]);
    await tail.finish();
    for (const line of lines.flush()) say(line.payload.toString('utf8'), line.stderr);
    return exit;
  } finally {
    signal.removeEventListener('abort', kill);
    await tail.abort();
  }
}

async function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(signal.reason);
  else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
