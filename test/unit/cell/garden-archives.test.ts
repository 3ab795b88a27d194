import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { receive } from '../../../src/cell/garden/archives.ts';
import { startProgram } from '../../../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../../../src/kit/process.ts';

const program = (script: string) => startProgram('sh', ['-c', script], { env: PLAIN_ENVIRONMENT });

test('a source that closes before its end, with an error or without, is not taken for whole', async () => {
  for (const [error, expected] of [
    [undefined, { code: 'archive_refused', message: 'the archive broke off' }],
    [new Error('lost'), { message: 'lost' }],
  ] as const) {
    const source = new PassThrough();
    source.write('half of it');
    const received = receive(source, program('cat > /dev/null'));
    setImmediate(() => source.destroy(error));
    await assert.rejects(received, expected);
  }
});

test('a command that needs no more of it is told by its exit code alone', async () => {
  const much = () => Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(65_536)));
  await receive(much(), program('head -c 10 > /dev/null'));
  await assert.rejects(receive(much(), program('head -c 10 > /dev/null; exit 2')), { code: 'archive_refused' });
  await receive(Readable.from([Buffer.from('all of it')]), program('cat > /dev/null'));
});
