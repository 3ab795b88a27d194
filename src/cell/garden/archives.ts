import type { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { classOf } from '../../kit/engine-words.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import type { Program } from '../../kit/posix-spawn.ts';

const MAX_ERROR_TEXT = 2000;

/** Feeds `source` to a command and waits for its end. Throws `archive_refused`, or what the source failed with. */
export async function receive(source: Readable, program: Program): Promise<void> {
  const ended = endOf(program);
  ended.catch(() => {}); // awaited below, after the pipe
  program.stdout.resume();
  let sourceFailure: unknown;
  source.once('error', (error) => {
    sourceFailure = error;
  });
  source.once('close', () => {
    // By itself, and not since the command takes no more.
    if (!source.readableEnded && !program.stdin.destroyed)
      sourceFailure ??= new CupolaError('archive_refused', 'the archive broke off');
  });
  try {
    await pipeline(source, program.stdin);
  } catch {
    // The command ended early, and its code says why; or the source broke, which is told first.
    if (sourceFailure !== undefined && !isBrokenPipe(sourceFailure)) {
      program.kill();
      await ended.catch(() => {});
      throw sourceFailure;
    }
  }
  await ended;
}

/** The output of a command; it breaks off with `archive_failed` where the command fails. Resolves with the first output. */
export async function send(program: Program, output: PassThrough): Promise<Readable> {
  program.stdin.on('error', () => {}); // it may end without reading
  program.stdin.end();
  program.stdout.pipe(output, { end: false });
  output.once('close', () => program.kill());
  const started = Promise.withResolvers<void>();
  program.stdout.once('data', () => started.resolve());
  endOf(program).then(
    () => {
      started.resolve();
      output.end();
    },
    (error) => {
      started.reject(error);
      output.once('error', () => {}); // the reader has its own listener
      output.destroy(new CupolaError('archive_failed', 'the archive could not be made', { cause: error }));
    },
  );
  await started.promise;
  return output;
}

async function endOf(program: Program): Promise<void> {
  let errors = '';
  program.stderr.on('data', (chunk: Buffer) => {
    if (errors.length < MAX_ERROR_TEXT) errors += chunk.toString();
  });
  const { exitCode } = await program.ended;
  if (exitCode !== 0) throw new CupolaError('archive_refused', `ended with ${exitCode}: ${classOf(errors)}`);
}

function isBrokenPipe(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
