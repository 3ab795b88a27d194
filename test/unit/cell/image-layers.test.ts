import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { cleanLayer, type LayerLimits } from '../../../src/cell/images/layer-filter.ts';
import { type LayerMember, LayerMembers } from '../../../src/cell/images/layer-members.ts';
import { type ArchiveEntry, tar } from '../../support/archives.ts';

const LIMITS: LayerLimits = { unpackedBytes: 1024 * 1024, entries: 100 };

/** In pieces of odd length, as a network gives them. */
async function* pieces(bytes: Buffer, length = 777): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function cleaned(input: Buffer | readonly ArchiveEntry[], limits = LIMITS) {
  const { stream, whiteouts } = cleanLayer(pieces(Buffer.isBuffer(input) ? input : tar(input)), limits);
  const members: (LayerMember & { content: string })[] = [];
  const reader = new LayerMembers(pieces(await buffer(stream)));
  for (let member = await reader.next(); member; member = await reader.next()) {
    const content = await buffer(reader.content());
    members.push({ ...member, content: content.toString() });
  }
  return { members, whiteouts, names: members.map(({ name }) => name) };
}

test('SEC-24: names that lead out of an image are refused, whoever names them', async () => {
  const outside: ArchiveEntry[] = [
    { name: '../etc/passwd', content: 'x' },
    { name: 'a/../../etc/passwd', content: 'x' },
    { name: 'a/..', type: 'directory' },
    { name: 'link', type: 'link', link: '../../etc/shadow' },
    { name: 'link', type: 'link', link: '/a/../../etc/shadow' },
    { name: '.wh...', content: '' },
    { name: '.wh..', content: '' },
    { name: 'a/.wh.', content: '' },
  ];
  for (const entry of outside) {
    await assert.rejects(cleaned([entry]), { code: 'image_invalid' }, entry.name);
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

test('SEC-24: devices are refused; in /dev, which every container has of its own, they are left out', async () => {
  await assert.rejects(cleaned([{ name: 'srv/disk', type: 'device' }]), { code: 'image_invalid' });
  await assert.rejects(cleaned([{ name: 'dev', type: 'device' }]), { code: 'image_invalid' });
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

test('SEC-24: what unpacks to more than is allowed is refused before it is unpacked', async () => {
  const large = { name: 'large', content: Buffer.alloc(600_000) };
  await assert.rejects(cleaned([large, { ...large, name: 'more' }]), { code: 'image_unsupported' });
  const many = Array.from({ length: 101 }, (_, index) => ({ name: `f${index}` }));
  await assert.rejects(cleaned(many), { code: 'image_unsupported' });
  await assert.rejects(cleaned([{ name: 'x', uid: 65_536 }]), { code: 'image_unsupported' });
  // A header that promises more than there is.
  const short = tar([{ name: 'short', content: 'x'.repeat(2000) }]).subarray(0, 1024);
  await assert.rejects(cleaned(short), { code: 'image_invalid' });
  const wrong = tar([{ name: 'x', content: 'y' }]);
  wrong[0] = 0x7a;
  await assert.rejects(cleaned(wrong), { code: 'image_invalid' });
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
  assert.deepEqual(whiteouts, { removed: ['etc/motd', 'gone'], opaque: ['var/cache'] });
  await assert.rejects(cleaned([{ name: '.wh..wh..opq' }]), { code: 'image_unsupported' });
});

for (const format of ['pax', 'gnu', 'ustar', 'v7']) {
  test(`a tar of format ${format}, made by tar itself, comes through whole`, async () => {
    const directory = mkdtempSync('/tmp/cupola-layer-');
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
