import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { receive, send } from '../../../src/cell/garden/archives.ts';
import { startProgram } from '../../../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../../../src/kit/process.ts';

const program = (script: string) => startProgram('sh', ['-c', script], { env: PLAIN_ENVIRONMENT });

const BROKEN_OFF = { code: 'archive_cut_off', message: 'the archive broke off' };
const brokenPipe = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
for (const [how, error, expected] of [
  ['without an error', undefined, BROKEN_OFF],
  ['with an error', new Error('lost'), { message: 'lost' }],
  ['with an error that a command may cause as well', brokenPipe, { code: 'EPIPE' }],
] as const) {
  test(`a source that closes before its end ${how} is not taken for whole, nor is a stream made of it`, async () => {
    for (const wrap of [(source: Readable) => source, (source: Readable) => Readable.from(source)]) {
      const source = new PassThrough();
      source.write('half of it');
      const received = receive(wrap(source), program('cat > /dev/null'));
      setImmediate(() => source.destroy(error));
      await assert.rejects(received, expected);
    }
  });

  test(`nor is one that had closed before, ${how}`, async () => {
    const source = new PassThrough();
    source.on('error', () => {});
    source.destroy(error);
    await new Promise((closed) => source.once('close', closed));
    await assert.rejects(receive(source, program('cat > /dev/null')), expected);
  });
}

test('a command that needs no more of it is told by its exit code alone', async () => {
  const much = () => Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(65_536)));
  await receive(much(), program('head -c 10 > /dev/null'));
  await assert.rejects(receive(much(), program('head -c 10 > /dev/null; exit 2')), { code: 'archive_refused' });
  await receive(Readable.from([Buffer.from('all of it')]), program('cat > /dev/null'));
});

test('what a command refuses is told apart from a command that was killed, or never ran', async () => {
  for (const [script, code] of [
    ['exit 2', 'archive_refused'],
    ['exit 255', 'archive_failed'],
    ['kill -9 $$', 'archive_failed'],
  ] as const) {
    await assert.rejects(receive(Readable.from([]), program(script)), { code });
    await assert.rejects(send(program(script), new PassThrough()), { code });
    const begun = await send(program(`echo; sleep 0.1; ${script}`), new PassThrough());
    await assert.rejects(finished(begun.resume()), { code });
  }
});

test('an archive is no longer made once nobody wants it, before its first byte as well', async () => {
  for (const script of ['exec sleep 60', 'echo; exec sleep 60']) {
    const making = program(script);
    const cancelling = new AbortController();
    const reading = send(making, new PassThrough(), cancelling.signal).then((made) => finished(made.resume()));
    setTimeout(() => cancelling.abort(), 50);
    await assert.rejects(reading, { name: 'AbortError' });
    assert.deepEqual(await making.ended, { exitCode: null, signal: 'SIGKILL' });
  }
});

test('a command ends with the signal, while its source goes on and after', async () => {
  const waiting = (async function* () {
    yield 'some of it';
    await new Promise(() => {});
  })();
  const endless = new PassThrough();
  for (const source of [endless, Readable.from(waiting), Readable.from([])]) {
    const receiving = program('exec sleep 60');
    const leaving = new AbortController();
    const received = receive(source, receiving, leaving.signal);
    setTimeout(() => leaving.abort(new Error('left')), 50);
    await assert.rejects(received, /left/);
    assert.deepEqual(await receiving.ended, { exitCode: null, signal: 'SIGKILL' });
  }
  assert.equal(endless.destroyed, true);
  const late = program('exec sleep 60');
  await assert.rejects(receive(Readable.from([]), late, AbortSignal.abort(new Error('left before'))), /left before/);
});
