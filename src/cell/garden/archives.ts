import type { ChildProcess } from 'node:child_process';
import type { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { classOf } from '../../kit/engine-words.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';

const MAX_ERROR_TEXT = 2000;

/** Feeds `source` to a command and waits for its end. Throws `archive_refused`, or what the source failed with. */
export async function receive(source: Readable, child: ChildProcess): Promise<void> {
  const ended = endOf(child);
  ended.catch(() => {}); // awaited below, after the pipe
  child.stdout?.resume();
  let sourceFailure: unknown;
  source.once('error', (error) => {
    sourceFailure = error;
  });
  try {
    await pipeline(source, child.stdin!);
  } catch {
    // The command ended early, and its code says why; or the source broke, which is told first.
    if (sourceFailure !== undefined && !isBrokenPipe(sourceFailure)) {
      child.kill('SIGKILL');
      await ended.catch(() => {});
      throw sourceFailure;
    }
  }
  await ended;
}

/** The output of a command; it breaks off with `archive_failed` where the command fails. Resolves with the first output. */
export async function send(child: ChildProcess & { stdout: Readable }, output: PassThrough): Promise<Readable> {
  child.stdin?.end();
  child.stdout.pipe(output, { end: false });
  output.once('close', () => child.kill('SIGKILL'));
  const started = Promise.withResolvers<void>();
  child.stdout.once('data', () => started.resolve());
  endOf(child).then(
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

function endOf(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    if (errors.length < MAX_ERROR_TEXT) errors += chunk.toString();
  });
  child.on('error', (cause) => reject(new CupolaError('archive_refused', 'the archive tool did not start', { cause })));
  child.on('close', (exitCode) => {
    if (exitCode === 0) resolve();
    else {
      reject(new CupolaError('archive_refused', `ended with ${exitCode}: ${classOf(errors)}`));
    }
  });
  return promise;
}

function isBrokenPipe(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
