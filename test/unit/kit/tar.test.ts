import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { TAR_END, type TarMember, TarReader, tarHeader, tarOf } from '../../../src/kit/tar.ts';
import { tar } from '../../support/archives.ts';

async function read(archive: Buffer | Readable): Promise<(TarMember & { content: Buffer })[]> {
  const reader = new TarReader(archive instanceof Readable ? archive : Readable.from([archive]));
  const found: (TarMember & { content: Buffer })[] = [];
  for await (const member of reader) found.push({ ...member, content: await buffer(reader.content()) });
  return found;
}
const file = (name: string, size: number) => ({ name, size, owner: 2000 });

test('a file goes into a tar and comes back the same, whatever its size', async () => {
  for (const size of [0, 1, 511, 512, 513, 100_000]) {
    const content = Buffer.alloc(size, 'ab');
    const found = await read(tarOf(file('package.zip', size), Readable.from(size ? [content] : [])));
    assert.deepEqual(
      found.map(({ name, uid, gid, content }) => [name, uid, gid, content]),
      [['package.zip', 2000, 2000, content]],
    );
  }
});

test('a stream of another length than announced breaks off', async () => {
  for (const text of ['four', 'sixsix']) {
    await assert.rejects(buffer(tarOf(file('a', 5), Readable.from([Buffer.from(text)]))), {
      code: 'content_length_wrong',
    });
  }
});

test('a tar that ends early or has a wrong checksum is refused', async () => {
  const whole = tar([{ name: 'a', content: 'x'.repeat(2000) }]);
  const refused = (why: string) => ({ code: 'tar_invalid', message: `the tar is not valid: ${why}` });
  await assert.rejects(read(whole.subarray(0, 1500)), refused('it ends in the middle'));
  const wrong = Buffer.from(whole);
  wrong[0] = 0x62;
  await assert.rejects(read(wrong), refused('a header has a wrong checksum'));
});

test('a header with names and a size too long for it is read by tar and by this reader alike', async () => {
  const long: TarMember = {
    name: `${'d'.repeat(120)}/${'n'.repeat(120)}`,
    type: 'symlink',
    linkName: 't'.repeat(150),
    mode: 0o755,
    uid: 7,
    gid: 8,
    modified: 1_000_000,
    size: 0,
  };
  const archive = Buffer.concat([tarHeader(long), TAR_END]);
  assert.deepEqual(await read(archive), [{ ...long, content: Buffer.alloc(0) }]);
  const listed = spawnSync('tar', ['--list', '--verbose', '--numeric-owner'], { input: archive, encoding: 'utf8' });
  assert.match(listed.stdout, new RegExp(`^lrwxr-xr-x 7/8 .* ${long.name} -> ${long.linkName}\n$`));
  const large: TarMember = { ...long, type: 'file', name: 'large', linkName: '', size: 9 * 1024 ** 3 };
  const first = await new TarReader(Readable.from([tarHeader(large)]))[Symbol.asyncIterator]().next();
  assert.equal(first.value?.size, large.size);
  assert.match(
    spawnSync('tar', ['--list', '--verbose'], { input: tarHeader(large), encoding: 'utf8' }).stdout,
    / 9663676416 /,
  );
});

test('a reader that has enough ends the stream, and one that goes on hears how its writer ended', async () => {
  const whole = tar([
    { name: 'a', content: 'x'.repeat(2000) },
    { name: 'b', content: 'y' },
  ]);
  const stream = Readable.from([whole]);
  for await (const member of new TarReader(stream)) if (member.name === 'a') break;
  assert.equal(stream.destroyed, true);
  const failing = Readable.from(
    (async function* () {
      yield whole;
      throw new Error('the writer ended with 2');
    })(),
  );
  await assert.rejects(read(failing), { message: 'the writer ended with 2' });
});
