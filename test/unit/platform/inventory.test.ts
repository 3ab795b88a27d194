import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { RECIPE_DIGEST } from '../../../src/cell/stack/stack.ts';
import { recipeDigest, rollBackEngineImage } from '../../../src/platform/engines/image/image.ts';
import { cyclonedx } from '../../../src/platform/inventory/cyclonedx.ts';
import { takeInventory } from '../../../src/platform/inventory/inventory.ts';
import type { Inventory, Part, Software } from '../../../src/platform/inventory/software.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { writeBuildpacks } from '../../../src/platform/system-buildpacks.ts';
import { ROOT } from '../../support/project-files.ts';
import { testSettings } from '../../support/settings.ts';
import { zipOf } from '../../support/zips.ts';

const [USED, FORMER] = ['0123456789ab', 'ba9876543210'];
const SHA256 = '0f'.repeat(32);
const home = mkdtempSync(join(tmpdir(), 'inventory-'));
after(() => rmSync(home, { recursive: true }));

let settings = testSettings();

/** An installation as its files are: two images of the engines, a stack, a buildpack. */
beforeEach(async () => {
  settings = testSettings({ dataDirectory: mkdtempSync(join(home, 'data-')) });
  const layout = layoutOf(settings);
  for (const [digest, version] of [
    [USED, '3.2.1-1'],
    [FORMER, '3.1.0-1'],
  ] as const) {
    const image = join(layout.engines, digest);
    tree(join(image, 'rootfs'), '13', {
      haproxy: `Version: ${version}\nPre-Depends: libc6 (>= 2.36)\nDepends: nobody-has-it | libssl3:any (>= 3)`,
      libssl3t64: 'Version: 3.5.1-1+deb13u1\nDepends: libc6\nProvides: libssl3 (= 3.5.1)',
      libc6: 'Version: 2.41-12',
      removed: 'Version: 1',
    });
    put(
      join(image, 'rootfs/usr/share/doc/haproxy/copyright'),
      `Format: x\nFiles: *\nLicense: GPL-2+\n text\n\nLicense: GPL-2+\n`,
    );
    put(join(image, 'rootfs/usr/share/doc/libc6/copyright'), 'in words alone\nLicense: none\n');
    put(join(image, 'packages.json'), JSON.stringify({ digest, made: '2026-01-01', packages: [] }));
  }
  put(join(layout.engines, `${recipeDigest()}.json`), JSON.stringify({ image: USED, former: FORMER }));
  const stack = join(layout.stacks, `debian12-${RECIPE_DIGEST}/rootfs`);
  tree(stack, '12', { bash: 'Version: 5.2.15-2' });
  put(join(stack, 'etc/cupola-stack'), 'name=debian12\nversion=20260131-0a1b2c3d4e5f\n');
  const file = join(layout.buildpacks, 'all.zip');
  put(file, await carrying());
  writeBuildpacks(layout, [
    { name: 'all_buildpack', position: 1, stack: 'debian12', file, version: '1', sha256: SHA256 },
  ]);
});

function put(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content);
}

function tree(root: string, release: string, packages: Readonly<Record<string, string>>): void {
  mkdirSync(join(root, 'usr'), { recursive: true, mode: 0o755 });
  put(join(root, 'etc/os-release'), `PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="${release}"\n`);
  const stanzas = Object.entries(packages).map(([name, fields]) => {
    const status = name === 'removed' ? 'deinstall ok config-files' : 'install ok installed';
    return `Package: ${name}\nStatus: ${status}\nArchitecture: amd64\n${fields}\nDescription: of it\n more of it\n`;
  });
  put(join(root, 'var/lib/dpkg/status'), stanzas.join('\n'));
}

/** A buildpack with something from everywhere. */
function carrying(): Promise<Buffer> {
  const names = { node: '26.10.0', libatomic1: '12.2.0-14', maven: '3.9.16', go: '1.27.3' };
  const dependencies = Object.entries(names).map(([name, version]) => ({ name, version, sha256: SHA256 }));
  const sources = {
    npm: [{ name: 'node', packages: { [process.arch]: { name: '@of/node-here' } } }],
    debian: ['libatomic1'],
    go: [{ name: 'go' }],
    maven: [{ name: 'maven', path: 'org/apache/maven/apache-maven/3.9.16/apache-maven-3.9.16-bin.tar.gz' }],
  };
  return zipOf([
    { path: 'bin/supply', body: '' },
    { path: 'VERSION', body: '0.2.0\n' },
    { path: 'manifest.yml', body: JSON.stringify({ language: 'all', dependencies }) },
    { path: 'dependencies.json', body: JSON.stringify(sources) },
  ]);
}

const partOf = ({ parts }: Inventory, kind: Part['kind']): Part => parts.find((part) => part.kind === kind)!;
const byName = ({ packages }: Part): Record<string, Software> =>
  Object.fromEntries(packages.map((one) => [one.name, one]));

test('VUL-01: files alone tell every package of engines, stacks and buildpacks, and what it is there for', async () => {
  const taken = await takeInventory(settings, ROOT);
  const engines = partOf(taken, 'engines');
  assert.equal(engines.version, USED);
  assert.deepEqual(
    engines.packages.map(({ purl }) => purl),
    [
      'pkg:deb/debian/haproxy@3.2.1-1?arch=amd64&distro=debian-13',
      'pkg:deb/debian/libssl3t64@3.5.1-1+deb13u1?arch=amd64&distro=debian-13',
      'pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13',
    ],
  );
  const { haproxy, libssl3t64, libc6 } = byName(engines);
  assert.deepEqual(haproxy!.needs, [libc6!.purl, libssl3t64!.purl]);
  assert.match(haproxy!.usedFor, /router/);
  assert.equal(libc6!.usedFor, 'for haproxy');
  assert.deepEqual(haproxy!.licences, ['GPL-2+']);
  assert.deepEqual(libc6!.licences, []);

  const stack = partOf(taken, 'stack');
  assert.equal(`${stack.name} ${stack.version}`, 'debian12 20260131-0a1b2c3d4e5f');
  assert.deepEqual(
    stack.packages.map(({ purl }) => purl),
    ['pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12'],
  );

  const buildpack = partOf(taken, 'buildpack');
  assert.equal(buildpack.version, '0.2.0');
  assert.deepEqual(buildpack.hashes, [{ algorithm: 'SHA-256', hex: SHA256 }]);
  assert.deepEqual(
    buildpack.packages.map(({ purl }) => purl),
    [
      'pkg:npm/%40of/node-here@26.10.0',
      'pkg:deb/debian/libatomic1@12.2.0-14?distro=debian-12',
      'pkg:maven/org.apache.maven/apache-maven@3.9.16?classifier=bin&type=tar.gz',
      'pkg:golang/stdlib@1.27.3',
    ],
  );
});

test('VUL-01: of npm what the platform runs with is listed, and not what only tests have', async () => {
  const { packages } = partOf(await takeInventory(settings, ROOT), 'npm');
  const { fastify, pg, typescript, ajv } = Object.fromEntries(packages.map((one) => [one.name, one]));
  assert.match(fastify!.purl, /^pkg:npm\/fastify@\d/);
  assert.deepEqual(fastify!.licences, ['MIT']);
  assert.match(fastify!.hashes[0]!.hex, /^[0-9a-f]{128}$/);
  assert.ok(pg!.needs.some((purl) => purl.startsWith('pkg:npm/pg-protocol@')));
  assert.equal(typescript, undefined);
  assert.ok(ajv !== undefined, 'fastify has it too');
});

test('VUL-04: a version that a roll-out replaced is no longer in the inventory, though it is kept to go back to', async () => {
  const versions = async () =>
    (await takeInventory(settings, ROOT)).parts
      .filter(({ kind }) => kind === 'engines')
      .map((engines) => byName(engines)['haproxy']!.version);
  assert.deepEqual(await versions(), ['3.2.1-1']);
  rollBackEngineImage({ directory: layoutOf(settings).engines });
  assert.deepEqual(await versions(), ['3.1.0-1']);
});

test('VUL-01: before anything is installed npm alone is listed, and what is not known is said', async () => {
  const { parts, unknown } = await takeInventory(null, ROOT);
  assert.deepEqual(
    parts.map(({ kind }) => kind),
    ['npm'],
  );
  assert.match(unknown[0]!, /nothing is installed/);

  rmSync(layoutOf(settings).stacks, { recursive: true });
  assert.match((await takeInventory(settings, ROOT)).unknown[0]!, /^The stack: there is none yet/);
});

test('VUL-01: the inventory is a CycloneDX 1.6 document, with each package under the part that has it', async () => {
  const taken = await takeInventory(settings, ROOT);
  const text = cyclonedx(taken);
  const document = JSON.parse(text) as {
    serialNumber: string;
    metadata: { component: { name: string; version: string }; properties: { name: string; value: string }[] };
    components: {
      'bom-ref': string;
      purl?: string;
      name: string;
      group?: string;
      properties: { name: string; value: string }[];
    }[];
    dependencies: { ref: string; dependsOn?: string[] }[];
  };
  const isValid = schema();
  assert.ok(isValid(document), JSON.stringify(isValid.errors?.slice(0, 3)));
  assert.match(document.serialNumber, /^urn:uuid:[0-9a-f-]{36}$/);
  assert.notEqual(JSON.parse(cyclonedx(taken)).serialNumber, document.serialNumber);
  assert.deepEqual(
    [document.metadata.component.name, document.metadata.component.version],
    ['cupola', partOf(taken, 'npm').version],
  );
  assert.ok(document.metadata.properties.every(({ name }) => name === 'cupola:unknown'));

  const refs = document.components.map((component) => component['bom-ref']);
  const distinct = taken.parts.map(({ packages }) => 1 + new Set(packages.map(({ purl }) => purl)).size);
  assert.equal(
    refs.length,
    distinct.reduce((sum, count) => sum + count),
  );
  assert.equal(new Set(refs).size, refs.length);
  const dependsOn = (ref: string) => document.dependencies.find((one) => one.ref === ref)?.dependsOn ?? [];
  assert.ok(dependsOn('cupola').includes(`engines/engines@${USED}`));
  const [haproxy, ssl] = ['haproxy', 'libssl3t64'].map(
    (name) => document.components.find((one) => one.name === name && one.purl?.includes('debian-13'))!,
  );
  assert.ok(dependsOn(`engines/engines@${USED}`).includes(haproxy!['bom-ref']));
  assert.ok(dependsOn(haproxy!['bom-ref']).includes(ssl!['bom-ref']));
  assert.ok(haproxy!.properties.some(({ name, value }) => name === 'cupola:used-for' && /router/.test(value)));
});

/** CycloneDX's own schema, as the library brings it. */
function schema() {
  const [bom, ...others] = ['bom-1.6', 'spdx', 'jsf-0.82'].map((name) => {
    const file = `${name}.SNAPSHOT.schema.json`;
    const path = join(ROOT, 'node_modules/@cyclonedx/cyclonedx-library/res/schema', file);
    return { ...JSON.parse(readFileSync(path, 'utf8')), $id: `http://cyclonedx.org/schema/${file}` };
  });
  const ajv = new Ajv({ strict: false, allErrors: true, schemas: others });
  addFormats.default(ajv);
  ajv.addFormat('iri-reference', (text: string) => !/[\s<>{}]/.test(text));
  ajv.addFormat('idn-email', /^[^@\s]+@[^@\s]+$/);
  return ajv.compile(bom);
}
