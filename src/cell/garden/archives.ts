import { addAbortSignal, type PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { classOf } from '../../kit/engine-words.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import type { Program } from '../../kit/posix-spawn.ts';

const MAX_ERROR_TEXT = 2000;
/** tar and a shell that refuse what they are given end with 1 or 2; with more what was killed, or was never started. */
const MOST_REFUSAL = 2;

/**
 * Feeds `source` to a command and waits for its end. Throws `archive_refused` where the command does not take it, `archive_failed` where it
 * could not be tried, `archive_cut_off` where the source closed before its end, what the source failed with, or the reason of `signal`.
 */
export async function receive(source: Readable, program: Program, signal?: AbortSignal): Promise<void> {
  const ended = endOf(program);
  ended.catch(() => {}); // awaited below, after the pipe
  program.stdout.resume();
  let sourceFailure = source.destroyed && !source.readableEnded ? cutOff(source.errored) : null;
  // Who broke first is told: once the command takes no more, its code says why.
  source.once('error', (error) => {
    if (!program.stdin.destroyed) sourceFailure ??= cutOff(error);
  });
  source.once('close', () => {
    if (!source.readableEnded && !program.stdin.destroyed) sourceFailure ??= cutOff(null);
  });
  const leaving = Promise.withResolvers<void>();
  const leave = (): void => {
    program.kill();
    leaving.resolve();
  };
  signal?.addEventListener('abort', leave, { once: true });
  if (signal?.aborted) leave();
  try {
    const over = ended.catch(() => {});
    // A source that waits for more is not waited for.
    await Promise.race([pipeline(source, program.stdin).catch(() => {}), over, leaving.promise]);
    if (sourceFailure !== null) program.kill();
    await over;
    signal?.throwIfAborted();
    if (sourceFailure !== null) throw sourceFailure;
    await ended;
  } finally {
    signal?.removeEventListener('abort', leave);
    source.destroy();
  }
}

/**
 * The output of a command; it breaks off with the command's failure (`archive_refused`, `archive_failed`). Resolves with the first output.
 * The command ends with the output; both do when `signal` aborts.
 */
export async function send(program: Program, output: PassThrough, signal?: AbortSignal): Promise<Readable> {
  if (signal) addAbortSignal(signal, output);
  output.on('error', () => {}); // the reader has its own listener
  program.stdin.on('error', () => {}); // it may end without reading
  program.stdin.end();
  program.stdout.pipe(output, { end: false });
  const started = Promise.withResolvers<void>();
  program.stdout.once('data', () => started.resolve());
  output.once('close', () => {
    program.kill();
    started.reject(output.errored ?? new CupolaError('archive_failed', 'nobody reads the archive'));
  });
  endOf(program).then(
    () => {
      started.resolve();
      output.end();
    },
    (error) => {
      started.reject(error);
      output.destroy(error);
    },
  );
  await started.promise;
  return output;
}

/** What a source that broke failed with: a stream of another one knows only that it was closed too early. */
function cutOff(error: Error | null): Error {
  if (error && codeOf(error) !== 'ERR_STREAM_PREMATURE_CLOSE') return error;
  return new CupolaError('archive_cut_off', 'the archive broke off', error ? { cause: error } : {});
}

async function endOf(program: Program): Promise<void> {
  let errors = '';
  program.stderr.on('data', (chunk: Buffer) => {
    if (errors.length < MAX_ERROR_TEXT) errors += chunk.toString();
  });
  const { exitCode } = await program.ended;
  if (exitCode === 0) return;
  const told = `ended with ${exitCode}: ${classOf(errors)}`;
  if (exitCode === null || exitCode > MOST_REFUSAL) throw new CupolaError('archive_failed', told);
  throw new CupolaError('archive_refused', told);
}
