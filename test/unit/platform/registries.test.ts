import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { machineRegistries, mavenRepository } from '../../../src/platform/registries.ts';

let home: string;
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'registries-'));
});
after(() => rm(home, { recursive: true }));

test('BPK-02: staging is told the registries and proxies of the machine', async () => {
  const environment = {
    GOPROXY: 'https://go.example.org,direct',
    MAVEN_MIRROR_URL: 'https://maven.example.org',
    https_proxy: 'http://proxy.example.org:3128',
    no_proxy: 'localhost',
    PATH: '/usr/bin',
  };
  assert.deepEqual(await machineRegistries({ environment, home, etc: home }), {
    GOPROXY: 'https://go.example.org,direct',
    MAVEN_MIRROR_URL: 'https://maven.example.org',
    https_proxy: 'http://proxy.example.org:3128',
    no_proxy: 'localhost',
  });
});

test("what `go env -w` and Maven's settings say counts too; the environment comes first", async () => {
  const own = join(home, 'own');
  await mkdir(join(own, '.config/go'), { recursive: true });
  await mkdir(join(own, '.m2'));
  await writeFile(
    join(own, '.config/go/env'),
    'GOPROXY=https://written.example.org\nGONOSUMDB=example.org\nGOBIN=/x\n',
  );
  await writeFile(
    join(own, '.m2/settings.xml'),
    `<settings><mirrors>
      <!-- <mirror><mirrorOf>*</mirrorOf><url>https://commented.example.org</url></mirror> -->
      <mirror><id>blocker</id><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
      <mirror><id>own</id><mirrorOf>central</mirrorOf><url>https://mirror.example.org/maven/</url></mirror>
    </mirrors></settings>`,
  );
  assert.deepEqual(
    await machineRegistries({ environment: { GOPROXY: 'https://set.example.org' }, home: own, etc: own }),
    {
      GOPROXY: 'https://set.example.org',
      GONOSUMDB: 'example.org',
      MAVEN_MIRROR_URL: 'https://mirror.example.org/maven/',
      MAVEN_MIRROR_OF: 'central',
    },
  );
  assert.equal(await mavenRepository({ environment: {}, home: own, etc: own }), 'https://mirror.example.org/maven');
});

test('SECURITY: an address with a password in it does not reach the builds of every app', async () => {
  const environment = {
    GOPROXY: 'https://goproxy.example.org,https://user:secret@private.example.org',
    MAVEN_MIRROR_URL: 'https://token@maven.example.org',
    PIP_INDEX_URL: 'https://user:secret@pip.example.org/simple',
  };
  assert.deepEqual(await machineRegistries({ environment, home, etc: home }), {});
});

test('a directory of the machine is no registry in a container', async () => {
  const environment = { GOPROXY: 'file:///var/cache/go', PIP_INDEX_URL: '/opt/wheels' };
  assert.deepEqual(await machineRegistries({ environment, home, etc: home }), {});
});
