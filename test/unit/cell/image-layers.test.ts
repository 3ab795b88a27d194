import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { cleanLayer, type LayerLimits } from '../../../src/cell/images/layer-filter.ts';
import { TAR_END, type TarMember, TarReader, tarHeader } from '../../../src/kit/tar.ts';
import { type ArchiveEntry, tar } from '../../support/archives.ts';
import { longestStall } from '../../support/stalls.ts';

const LIMITS: LayerLimits = { unpackedBytes: 1024 * 1024, entries: 100 };

/** In pieces of odd length, as a network gives them. */
async function* pieces(bytes: Buffer, length = 777): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** What is wrong with a layer, in its words. */
const invalid = (why: string) => ({ code: 'image_invalid', message: `a layer of the image is not valid: ${why}` });
const TOO_LARGE = { code: 'image_unsupported', message: 'a layer of the image is larger than is allowed' };

async function cleaned(input: Buffer | readonly ArchiveEntry[], limits = LIMITS) {
  const { stream, whiteouts } = cleanLayer(Readable.from(pieces(Buffer.isBuffer(input) ? input : tar(input))), limits);
  const members: (TarMember & { content: string })[] = [];
  const reader = new TarReader(pieces(await buffer(stream)));
  for await (const member of reader) {
    const content = await buffer(reader.content());
    members.push({ ...member, content: content.toString() });
  }
  return { members, whiteouts, names: members.map(({ name }) => name) };
}

test('SECURITY 24: names that lead out of an image are refused, whoever names them', async () => {
  const outside: ArchiveEntry[] = [
    { name: '../etc/passwd', content: 'x' },
    { name: 'a/../../etc/passwd', content: 'x' },
    { name: 'a/..', type: 'directory' },
    { name: 'link', type: 'link', link: '../../etc/shadow' },
    { name: 'link', type: 'link', link: '/a/../../etc/shadow' },
  ];
  for (const entry of outside) {
    const named = `${entry.name} ${entry.link ?? ''}`;
    await assert.rejects(cleaned([entry]), invalid('an entry leads out of the image'), named);
  }
  const file = tar([{ name: 'file', content: 'x' }]);
  for (const header of [extended('x', pax('path', '../file')), extended('L', '../file\0')]) {
    await assert.rejects(cleaned(Buffer.concat([header, file])), invalid('an entry leads out of the image'));
  }
  for (const name of ['.wh...', '.wh..', 'a/.wh.']) {
    await assert.rejects(cleaned([{ name, content: '' }]), invalid('a whiteout leads out of the image'), name);
  }
});

test('an absolute name means the same name in the image', async () => {
  const { names } = await cleaned([
    { name: '/etc/hosts', content: 'x' },
    { name: './/usr//bin/', type: 'directory' },
    { name: '/', type: 'directory' },
  ]);
  assert.deepEqual(names, ['./etc/hosts', './usr/bin/', './']);
});

test('SECURITY 24: devices are refused; in /dev, which every container has of its own, they are left out', async () => {
  for (const name of ['srv/disk', 'dev', 'device/sda']) {
    await assert.rejects(cleaned([{ name, type: 'device' }]), invalid('it holds a device'), name);
  }
  assert.deepEqual((await cleaned([{ name: 'dev/sda', type: 'device' }])).names, []);
});

test('set-user-id bits of files and extended attributes go; sticky directories stay', async () => {
  const { members } = await cleaned([
    { name: 'su', content: 'x', mode: 0o6755 },
    { name: 'tmp/', type: 'directory', mode: 0o1777 },
  ]);
  assert.deepEqual(
    members.map(({ mode }) => mode),
    [0o755, 0o1777],
  );
});

test('SECURITY 24: what unpacks to more than is allowed is refused before it is unpacked', async () => {
  const large = { name: 'large', content: Buffer.alloc(600_000) };
  await assert.rejects(cleaned([large, { ...large, name: 'more' }]), TOO_LARGE, 'bytes');
  const many = Array.from({ length: 101 }, (_, index) => ({ name: `f${index}` }));
  await assert.rejects(cleaned(many), TOO_LARGE, 'entries');
  const another = 'a file of the image belongs to a user or group above 65535';
  await assert.rejects(cleaned([{ name: 'x', uid: 65_536 }]), { code: 'image_unsupported', message: another }, 'user');
  await assert.rejects(cleaned([{ name: 'x', gid: 65_536 }]), { code: 'image_unsupported', message: another }, 'group');
  // Headers that promise more than there is: more than is allowed is refused before any of it is awaited.
  const short = tar([{ name: 'short', content: 'x'.repeat(2000) }]).subarray(0, 1024);
  await assert.rejects(cleaned(short), invalid('it ends in the middle'), 'cut off');
  await assert.rejects(cleaned(Buffer.concat([extended('x', pax('size', '1048576')), short])), TOO_LARGE, 'at once');
  const wrong = tar([{ name: 'x', content: 'y' }]);
  wrong[0] = 0x7a;
  await assert.rejects(cleaned(wrong), invalid('a header has a wrong checksum'), 'checksum');
});

/** A header that says more about what follows it: of kind "x" or "L" about the next member, of kind "g" about all, if anybody heeds it. */
function extended(kind: string, body: string): Buffer {
  const bytes = tar([{ name: 'extended', content: body }]).subarray(0, -1024);
  bytes.write(kind, 156, 'latin1');
  const sum = bytes.subarray(0, 512).reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

/** "27 path=some/long/name\n" */
function pax(name: string, value: string): string {
  const rest = ` ${name}=${value}\n`.length;
  const length = [1, 2, 3, 4, 5, 6].map((digits) => rest + digits).find((sum, at) => String(sum).length === at + 1);
  return `${length} ${name}=${value}\n`;
}

test('SECURITY 24: of extended headers what is used is kept, and their length, number and sum are bounded', async () => {
  const file = tar([{ name: 'file', content: 'x' }]);
  const { members } = await cleaned(
    Buffer.concat([
      extended('x', pax('SCHILY.xattr.user.a', 'y'.repeat(60_000)) + pax('path', 'for-one') + pax('uid', '7')),
      file.subarray(0, -1024),
      file,
    ]),
  );
  assert.deepEqual(
    members.map(({ name, uid }) => [name, uid]),
    [
      ['./for-one', 7],
      ['./file', 0],
    ],
  );
  // Names that nobody uses, as short as they may be and each another.
  let next = 0;
  const names = (bytes: number): string => {
    let text = '';
    while (text.length < bytes) text += pax((next++).toString(36), '');
    return text;
  };
  const limits = { unpackedBytes: 1024 ** 3, entries: 1000 };
  for (const kind of ['x', 'g']) {
    const long = Buffer.concat([extended(kind, names(70_000)), file]);
    await assert.rejects(cleaned(long, limits), invalid('an extended header is too long'), 'length');
  }
  const flood = Array.from({ length: 9 }, () => extended('x', pax('path', 'a')));
  await assert.rejects(
    cleaned(Buffer.concat([...flood, file]), limits),
    invalid('there are too many extended headers'),
    'number',
  );
  const one = tar([{ name: 'file', content: 'x' }]).subarray(0, -1024);
  const counted = Array.from({ length: 30 }, () => Buffer.concat([extended('x', names(60_000)), one]));
  const stall = await longestStall(() => cleaned(Buffer.concat([...counted, file]), limits));
  assert.ok(stall < 250, `nobody had a turn for ${Math.round(stall)} ms`);
  await assert.rejects(cleaned(Buffer.concat([...counted, file])), TOO_LARGE, 'sum, as content');
  const global = Array.from({ length: 30 }, () => Buffer.concat([extended('g', names(60_000)), one]));
  await assert.rejects(cleaned(Buffer.concat([...global, file])), TOO_LARGE, 'sum of global ones');
});

test('SECURITY 25: a global header says nothing of the entries after it, of which there may be many', async () => {
  const file = tar([{ name: 'file', content: 'x', uid: 3 }]);
  const said = pax('path', `.wh.${'a'.repeat(4000)}`) + pax('uid', '7') + pax('size', '0');
  const { members, whiteouts } = await cleaned(Buffer.concat([extended('g', said), file]));
  assert.deepEqual(
    members.map(({ name, uid, content }) => [name, uid, content]),
    [['./file', 3, 'x']],
  );
  assert.deepEqual([...whiteouts.removed], []);
});

/** A tar of empty files of these names, however long. */
function named(names: readonly string[]): Buffer {
  const about = { type: 'file', linkName: '', mode: 0o644, uid: 0, gid: 0, modified: 0, size: 0 } as const;
  return Buffer.concat([...names.map((name) => tarHeader({ ...about, name })), TAR_END]);
}

test('SECURITY 25: what a layer takes away is kept once each, and its text and depth are bounded', async () => {
  const limits = { unpackedBytes: 1024 ** 3, entries: 500_000 };
  const long = `${'d'.repeat(250)}/`.repeat(15);
  const same = Array.from({ length: 2500 }, () => [`${long}.wh.gone`, `${long}.wh..wh..opq`]).flat();
  const { whiteouts } = await cleaned(named(same), limits);
  assert.deepEqual([[...whiteouts.removed], [...whiteouts.opaque]], [[`${long}gone`], [long.slice(0, -1)]]);
  const tooLong = invalid('the name of a whiteout is too long');
  const deep = (directories: number) => 'd/'.repeat(directories);
  for (const name of [
    `.wh.${'a'.repeat(256)}`,
    `${'a'.repeat(256)}/.wh.gone`,
    `${deep(256)}.wh.gone`,
    `${deep(257)}.wh..wh..opq`,
  ]) {
    await assert.rejects(cleaned(named([name]), limits), tooLong, `…${name.slice(-20)}`);
  }
  const most = [`.wh.${'a'.repeat(255)}`, `${deep(255)}.wh.gone`, `${deep(256)}.wh..wh..opq`];
  assert.equal([...(await cleaned(named(most), limits)).whiteouts.removed].length, 2);
  const tooMuch = { code: 'image_unsupported', message: 'a layer of the image takes away more than is allowed' };
  const many = (count: number, name: (index: number) => string) =>
    named(Array.from({ length: count }, (_, i) => name(i)));
  await assert.rejects(
    cleaned(
      many(4500, (i) => `${long}.wh.${i}`),
      limits,
    ),
    tooMuch,
    'text',
  );
  await assert.rejects(
    cleaned(
      many(4500, (i) => `${long}${i}/.wh..wh..opq`),
      limits,
    ),
    tooMuch,
    'text of directories',
  );
  await assert.rejects(
    cleaned(
      many(4000, (i) => `${deep(250)}.wh.${i}`),
      limits,
    ),
    tooMuch,
    'depth',
  );
});

test('a layer that nobody begins to read is closed', async () => {
  const source = Readable.from(pieces(tar([{ name: 'file', content: 'x' }])));
  const { stream } = cleanLayer(source, LIMITS);
  stream.destroy();
  await once(stream, 'close');
  assert.equal(source.destroyed, true);
});

test('SECURITY 25: a whiteout with content is refused before any of it is read', async () => {
  for (const name of ['.wh.gone', 'a/.wh..wh..opq', '.wh..wh.note']) {
    await assert.rejects(cleaned([{ name, content: 'x' }]), invalid('a whiteout has content'), name);
  }
});

test('whiteouts are taken out of the archive and known at its end', async () => {
  const { names, whiteouts } = await cleaned([
    { name: 'etc/', type: 'directory' },
    { name: 'etc/.wh.motd' },
    { name: 'var/cache/.wh..wh..opq' },
    { name: '.wh.gone' },
    { name: '.wh..wh.plnk/1.2', content: '' },
    { name: '.wh..wh.aufs' },
  ]);
  assert.deepEqual(names, ['./etc/', './.wh..wh.plnk/1.2']);
  assert.deepEqual([[...whiteouts.removed], [...whiteouts.opaque]], [['etc/motd', 'gone'], ['var/cache']]);
  await assert.rejects(cleaned([{ name: '.wh..wh..opq' }]), { code: 'image_unsupported' });
});

for (const format of ['pax', 'gnu', 'ustar', 'v7']) {
  test(`a tar of format ${format}, made by tar itself, comes through whole`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cupola-layer-'));
    try {
      const long = format === 'v7' || format === 'ustar' ? 'short' : `${'d'.repeat(120)}/${'n'.repeat(120)}`;
      mkdirSync(join(directory, 'tree', long, '..'), { recursive: true });
      writeFileSync(join(directory, 'tree', long), 'content of it');
      writeFileSync(join(directory, 'tree/grün'), 'bytes, not text');
      const target = long.length > 100 ? `/${'t'.repeat(150)}` : '/elsewhere';
      symlinkSync(target, join(directory, 'tree/link'));
      const args = ['--create', `--format=${format}`, '--file=-', '-C', join(directory, 'tree'), '.'];
      const made = spawnSync('tar', args, { maxBuffer: 1 << 24 });
      assert.equal(made.status, 0, made.stderr.toString());
      const { members } = await cleaned(made.stdout);
      assert.equal(members.find(({ name }) => name === `./${long}`)?.content, 'content of it');
      assert.equal(members.find(({ name }) => name.startsWith('./gr'))?.name, Buffer.from('./grün').toString('latin1'));
      assert.equal(members.find(({ type }) => type === 'symlink')?.linkName, target);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
