import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ZipFile } from 'yazl';
import { dirhash, fetchGoToolchain, unpackGoToolchain } from '../../../src/platform/buildpacks/go-toolchain.ts';

const VERSION = '1.99.0';
const MODULE = `v0.0.1-go${VERSION}.linux-${process.arch === 'arm64' ? 'arm64' : 'amd64'}`;
const ROOT = `golang.org/toolchain@${MODULE}/`;
const FILES: Record<string, string> = {
  'bin/go': 'go',
  'pkg/tool/linux_amd64/compile': 'compile',
  'pkg/tool/linux_amd64/vet': 'vet',
  'src/fmt/print.go': 'package fmt',
  'src/fmt/print_test.go': 'package fmt',
  'src/fmt/testdata/x': 'x',
  'src/cmd/go/main.go': 'package main',
  VERSION: `go${VERSION}`,
};
/** Two module proxies, the first of which has nothing. */
const proxies = async () => `file://${join(work, 'absent')},file://${join(work, 'proxy')},direct`;
let work: string;
let sum: string;

before(async () => {
  work = await mkdtemp(join(tmpdir(), 'go-toolchain-'));
  const proxy = join(work, 'proxy/golang.org/toolchain/@v');
  await mkdir(proxy, { recursive: true });
  const zip = new ZipFile();
  for (const [name, content] of Object.entries(FILES)) zip.addBuffer(Buffer.from(content), `${ROOT}${name}`);
  zip.end();
  const target = createWriteStream(join(proxy, `${MODULE}.zip`));
  await new Promise((resolve) => zip.outputStream.pipe(target).on('close', resolve));
  // golang.org/x/mod/sumdb/dirhash, "Hash1"
  const hex = (text: string) => createHash('sha256').update(text).digest('hex');
  const lines = Object.keys(FILES)
    .sort()
    .map((name) => `${hex(FILES[name]!)}  ${ROOT}${name}\n`);
  sum = `h1:${createHash('sha256').update(lines.join('')).digest('base64')}`;
});
after(async () => {
  await rm(work, { recursive: true });
});

test('BPK-03: a toolchain comes from the first module proxy that has it, and is the pinned one', async () => {
  const file = await fetchGoToolchain({ version: VERSION, sum }, join(work, 'cache'), proxies);
  assert.equal(await dirhash(file), sum);
});

test('SECURITY: another toolchain than the pinned one is refused, also where it lies in the cache', async () => {
  const wrong = { version: VERSION, sum: `h1:${Buffer.alloc(32).toString('base64')}` };
  await assert.rejects(fetchGoToolchain(wrong, join(work, 'other'), proxies), { code: 'dependency_digest_mismatch' });
  const cache = join(work, 'changed');
  await mkdir(cache);
  await writeFile(join(cache, `golang-toolchain-${MODULE}.zip`), 'not what it was');
  const file = await fetchGoToolchain({ version: VERSION, sum }, cache, proxies);
  assert.equal(await dirhash(file), sum);
});

test('BPK-06: only what building a program needs is unpacked', async () => {
  const file = await fetchGoToolchain({ version: VERSION, sum }, join(work, 'cache'), proxies);
  const target = join(work, 'tree');
  await unpackGoToolchain(file, { version: VERSION, sum }, target);
  const there = Object.keys(FILES).filter((name) => existsSync(join(target, name)));
  assert.deepEqual(there.sort(), ['VERSION', 'bin/go', 'pkg/tool/linux_amd64/compile', 'src/fmt/print.go']);
  assert.equal(readFileSync(join(target, 'bin/go'), 'utf8'), 'go');
});
