import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { isInternalAddress } from '../../../src/cell/images/addresses.ts';
import { resolveUser } from '../../../src/cell/images/image-user.ts';
import { readConfig, readManifest } from '../../../src/cell/images/manifest.ts';
import { manifestName, parseReference, pinned } from '../../../src/cell/images/reference.ts';
import { METADATA_RANGES } from '../../../src/contracts/metadata-addresses.ts';

const A = `sha256:${'a'.repeat(64)}`;
const B = `sha256:${'b'.repeat(64)}`;

test('an image is named as the field names images', () => {
  const names: [string, string, string, string | null, string | null][] = [
    ['busybox', 'docker.io', 'library/busybox', 'latest', null],
    ['team/app', 'docker.io', 'team/app', 'latest', null],
    ['docker.io/busybox:1', 'docker.io', 'library/busybox', '1', null],
    ['localhost/app', 'localhost', 'app', 'latest', null],
    ['registry.example.org:5000/a/b/c:v1.2_x', 'registry.example.org:5000', 'a/b/c', 'v1.2_x', null],
    [`registry.example.org/app@${A}`, 'registry.example.org', 'app', null, A],
    [`registry.example.org/app:1@${A}`, 'registry.example.org', 'app', '1', A],
    ['127.0.0.1:22200/app', '127.0.0.1:22200', 'app', 'latest', null],
    ['[2001:db8::1]:5000/app', '[2001:db8::1]:5000', 'app', 'latest', null],
  ];
  for (const [text, registry, repository, tag, digest] of names) {
    assert.deepEqual(parseReference(text), { registry, repository, tag, digest }, text);
  }
  const reference = parseReference('registry.example.org/app:1');
  assert.equal(manifestName(reference), '1');
  assert.equal(pinned(reference, A), `registry.example.org/app:1@${A}`);
  assert.equal(manifestName(parseReference(pinned(reference, A))), A);
});

test('SECURITY 28: what is no image name is refused, whatever it would do to a URL', () => {
  const refused: Record<string, string[]> = {
    'the image must be named without a scheme': ['https://registry.example.org/app'],
    'the registry is not a host name': [
      'user:password@registry.example.org/app',
      'registry.example.org:port/app',
      'exa mple.org/app',
    ],
    'the image name is not valid': [
      ...['', 'App', 'a/../b', 'registry.example.org/../v2/x', 'a//b', '/a', 'a/', 'app:1:2', `app@${A}@${A}`],
      ...['app?x=1', 'app#x', 'a b', 'app\n', 'app%2f', 'a'.repeat(300)],
    ],
    'the image tag is not valid': ['app:', 'app:-x', `app:${'1'.repeat(129)}`],
    'the image digest is not valid': ['app@sha256:short', `app@${A}0`],
  };
  for (const [message, texts] of Object.entries(refused)) {
    for (const text of texts) assert.throws(() => parseReference(text), { code: 'image_invalid', message }, text);
  }
});

test('of an index the manifest for this platform is taken', () => {
  const entry = (digest: string, platform: object) => ({ digest, size: 1, mediaType: 'm', platform });
  const index = (...manifests: object[]) => JSON.stringify({ schemaVersion: 2, manifests });
  const several = index(
    entry(B, { os: 'windows', architecture: 'amd64' }),
    entry(B, { os: 'linux', architecture: 'arm64', variant: 'v8' }),
    entry(B, { os: 'linux', architecture: 'amd64', variant: 'v3' }),
    entry(A, { os: 'linux', architecture: 'amd64' }),
    entry(B, { os: 'unknown', architecture: 'unknown' }),
  );
  assert.deepEqual(readManifest(several, 'x64'), { descriptor: { digest: A, size: 1, mediaType: 'm' } });
  assert.deepEqual(readManifest(several, 'arm64'), { descriptor: { digest: B, size: 1, mediaType: 'm' } });
  assert.throws(() => readManifest(several, 'riscv64'), /not made for linux\/riscv64/);
  assert.throws(() => readManifest(index(), 'x64'), { code: 'image_unsupported' });
});

test('a manifest is read; older kinds and broken ones are refused', () => {
  const blob = (digest: unknown, size: unknown = 3) => ({ mediaType: 'm', digest, size });
  const manifest = (layers: unknown, config: unknown = blob(A)) => JSON.stringify({ schemaVersion: 2, config, layers });
  assert.deepEqual(readManifest(manifest([blob(B, 5)])), {
    config: { digest: A, size: 3, mediaType: 'm' },
    layers: [{ digest: B, size: 5, mediaType: 'm' }],
  });
  const broken = [
    manifest([blob('sha256:x')]),
    manifest([blob(A, -1)]),
    manifest([blob(A, '1')]),
    manifest([null]),
    '{',
    '[]',
  ];
  for (const json of broken) assert.throws(() => readManifest(json), { code: 'image_invalid' }, json);
  assert.throws(() => readManifest('{"schemaVersion":1,"fsLayers":[]}'), { code: 'image_unsupported' });
  assert.throws(() => readManifest(manifest(Array(101).fill(blob(A)))), { code: 'image_unsupported' });
});

test('an image says what it starts, as whom, where, with which environment and ports', () => {
  const config = readConfig(
    JSON.stringify({
      config: {
        Entrypoint: ['/bin/server'],
        Cmd: ['--port', '80'],
        Env: ['PATH=/bin', 'EMPTY=', 'WITH=a=b', 'broken', '=broken'],
        WorkingDir: 'srv',
        User: 'web:log',
        ExposedPorts: { '8443/tcp': {}, '53/udp': {}, '80': {}, '99999/tcp': {}, 'x/tcp': {} },
      },
      rootfs: { type: 'layers', diff_ids: [A, 'no digest'] },
    }),
  );
  assert.deepEqual(config, {
    entrypoint: ['/bin/server'],
    cmd: ['--port', '80'],
    environment: { PATH: '/bin', EMPTY: '', WITH: 'a=b' },
    workingDirectory: '/srv',
    user: 'web:log',
    ports: [80, 8443],
    diffIds: [A],
  });
  assert.deepEqual(readConfig('{}').entrypoint, []);
  assert.equal(readConfig('{"config":null}').workingDirectory, '/');
  assert.throws(() => readConfig('{"config":{"Cmd":["a\\u0000b"]}}'), { code: 'image_invalid' });
});

test('a user is found as other engines find it', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nweb:x:1234:1235::/srv:\n77:x:5000:5000::/odd:/bin/sh\n';
  const group = 'root:x:0:\nweb:x:1235:\nlog:x:99:nobody,web\nadm:x:4:web\n';
  const found = (user: string) => resolveUser(user, passwd, group);
  assert.deepEqual(found(''), { uid: 0, gid: 0, groups: [], name: 'root', home: '/root' });
  assert.deepEqual(found('web'), { uid: 1234, gid: 1235, groups: [99, 4], name: 'web', home: '/srv' });
  assert.deepEqual(found('1234'), { uid: 1234, gid: 1235, groups: [99, 4], name: 'web', home: '/srv' });
  assert.deepEqual(found('web:log'), { uid: 1234, gid: 99, groups: [], name: 'web', home: '/srv' });
  assert.deepEqual(found('3000:3001'), { uid: 3000, gid: 3001, groups: [], name: '3000', home: '/' });
  assert.equal(found('77').uid, 5000, 'a name that looks like a number is a name');
  assert.deepEqual(resolveUser('1000', null, null), { uid: 1000, gid: 0, groups: [], name: '1000', home: '/' });
  assert.deepEqual(resolveUser('', null, null), { uid: 0, gid: 0, groups: [], name: 'root', home: '/root' });
  for (const user of ['nobody', 'web:none', 'a:b:c', '65536', '0:70000', '-1', '1e3']) {
    assert.throws(() => found(user), { code: 'image_invalid' }, user);
  }
});

test('SECURITY 28: addresses of this machine, its neighbours and the metadata services of every cloud are internal', () => {
  const internal = [
    ...['127.0.0.1', '127.255.0.1', '0.0.0.0', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    ...['169.254.169.254', '100.64.0.1', '192.0.0.8', '198.18.0.1', '224.0.0.1', '255.255.255.255', 'localhost', ''],
    ...['::1', '::', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8'],
    ...['64:ff9b::a00:1', '2002:7f00:1::', '2001:0:4136:e378::'],
    ...METADATA_RANGES.map(({ network }) => network.split('/')[0]!),
    ...['168.63.129.16', '100.100.100.200', 'fd20:ce::254'],
    ...Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []),
  ];
  for (const address of internal) assert.equal(isInternalAddress(address), true, address);
  // Also where its own address is a public one.
  const own = [
    { address: '8.8.4.4', family: 'IPv4' },
    { address: '2606:4700::2%eth0', family: 'IPv6' },
  ];
  for (const address of ['8.8.4.4', '2606:4700::2']) assert.equal(isInternalAddress(address, own), true, address);
  for (const address of ['8.8.8.8', '168.63.129.17', '172.32.0.1', '100.128.0.1', '2606:4700::1111']) {
    assert.equal(isInternalAddress(address), false, address);
  }
});
