import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPackageSources } from '../../../src/cell/stack/package-sources.ts';
import { releaseOf } from '../../../src/cell/stack/packages.ts';

async function sourcesOf(list: string, deb822 = '') {
  const directory = await mkdtemp(join(tmpdir(), 'garden-apt-'));
  try {
    await mkdir(join(directory, 'sources.list.d'));
    await writeFile(join(directory, 'sources.list'), list);
    await writeFile(join(directory, 'sources.list.d/x.sources'), deb822);
    return await findPackageSources(releaseOf('debian12')!, directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
const PUBLIC = { mirror: 'http://deb.debian.org/debian', securityMirror: 'http://deb.debian.org/debian-security' };

test('a stack comes from the machine’s own mirror', async () => {
  const list = `# deb http://no.example/debian bookworm main
deb-src http://no.example/debian bookworm main
deb http://other.example/debian trixie main
deb [signed-by=/k.gpg arch=amd64] https://mirror.example/debian bookworm main contrib
deb http://third.example bookworm stable`;
  assert.deepEqual(await sourcesOf(list), { ...PUBLIC, mirror: 'https://mirror.example/debian' });
  const deb822 = `Types: deb
URIs: http://mirror.example/debian
# a comment
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
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
    securityMirror: 'http://mirror.example/security',
  });
});

test('a machine of another distribution uses the public mirror', async () => {
  assert.deepEqual(
    await sourcesOf('deb http://archive.example/ubuntu noble main\ndeb cdrom:[x] bookworm main'),
    PUBLIC,
  );
});
