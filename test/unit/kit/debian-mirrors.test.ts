import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findDebianMirrors } from '../../../src/kit/debian/mirrors.ts';

async function sourcesOf(list: string, deb822 = '', more: Readonly<Record<string, string>> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'apt-'));
  try {
    await mkdir(join(directory, 'sources.list.d'));
    await mkdir(join(directory, 'lists/partial'), { recursive: true });
    await writeFile(join(directory, 'sources.list'), list);
    await writeFile(join(directory, 'sources.list.d/x.sources'), deb822);
    for (const [name, text] of Object.entries(more)) await writeFile(join(directory, name), text);
    const options = ['-o', `Dir::Etc=${directory}`, '-o', `Dir::State::lists=${directory}/lists`];
    return await findDebianMirrors('bookworm', options);
  } finally {
    await rm(directory, { recursive: true });
  }
}
const PUBLIC = { mirror: 'http://deb.debian.org/debian', securityMirror: 'http://deb.debian.org/debian-security' };

test('packages come from the machine’s own mirror', async () => {
  const list = `# deb http://no.example/debian bookworm main
deb-src http://no.example/debian bookworm main
deb http://other.example/debian trixie main
deb [signed-by=/k.gpg arch=amd64] https://mirror.example/debian bookworm main contrib
deb http://third.example/debian bookworm other`;
  assert.deepEqual(await sourcesOf(list), { ...PUBLIC, mirror: 'https://mirror.example/debian' });
  const deb822 = `Types: deb
URIs: http://mirror.example/debian
# a comment
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
 contrib

Types: deb
Enabled: no
URIs: http://no.example/debian
Suites: bookworm
Components: main`;
  assert.deepEqual(await sourcesOf('', deb822), {
    mirror: 'http://mirror.example/debian',
    securityMirror: 'http://mirror.example/debian-security',
  });
});

test('a machine’s mirror of one release of Debian is its mirror of all', async () => {
  const list = `deb http://mirror.example/debian trixie main
deb http://mirror.example/debian-security trixie-security main`;
  assert.deepEqual(await sourcesOf(list), {
    mirror: 'http://mirror.example/debian',
    securityMirror: 'http://mirror.example/debian-security',
  });
});

test('a machine of another distribution, or with others’ sources, uses the public mirror', async () => {
  const list = `deb http://archive.example/ubuntu noble main
deb cdrom:[x] bookworm main
deb https://cli.example/packages stable main
deb https://apt.example bookworm main`;
  const disabled = { 'sources.list.d/old.list.save': 'deb http://no.example/debian bookworm main\n' };
  assert.deepEqual(await sourcesOf(list, '', disabled), PUBLIC);
});

test('whose source it is tells its index, where apt has read that', async () => {
  const list = 'deb http://mirror.example/any bookworm main\ndeb http://other.example/debian bookworm main\n';
  const index = (origin: string) =>
    `Origin: ${origin}\nCodename: bookworm\nComponents: main\nArchitectures: amd64\nSHA256:\n ${'0'.repeat(64)} 1 main/binary-amd64/Packages\n`;
  const read = (host: string, origin: string) => ({
    [`lists/${host}_dists_bookworm_Release`]: index(origin),
    [`lists/${host}_dists_bookworm_main_binary-amd64_Packages`]: 'Package: one\nVersion: 1\nArchitecture: amd64\n',
  });
  const more = { ...read('mirror.example_any', 'Debian'), ...read('other.example_debian', 'Other') };
  assert.equal((await sourcesOf(list, '', more)).mirror, 'http://mirror.example/any');
});
