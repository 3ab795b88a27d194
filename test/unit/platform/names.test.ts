import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  installResolver,
  removeResolver,
  renderDnsConfig,
  restoreResolver,
  upstreamNameservers,
} from '../../../src/platform/host/names.ts';
import { addNameserver, nameserversOf } from '../../../src/platform/host/resolv-conf.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';

const settings: PlatformSettings = {
  id: 'abc',
  dataDirectory: '/var/lib/cupola',
  keyFile: '/var/lib/cupola/key',
  domain: 'cupola.localhost',
  bindAddress: '127.0.0.1',
  httpsPort: 443,
  httpPort: 80,
  cells: 1,
  zones: 1,
  cellTags: [],
  ports: { control: 1, rpc: 2, nats: 3, ssh: 4, rep: [4], proxy: [5] },
  overlay: '10.200',
  gateway: '169.254.1.1',
  resolverAddress: '127.0.53.1',
  sshPort: 2222,
  uidRangeBase: 1_048_576,
  adminUser: 'admin',
};
const other: PlatformSettings = { ...settings, id: 'xyz', resolverAddress: '127.0.53.9' };
const ORIGINAL = '# by hand\nsearch corp.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions rotate timeout:1\n';

function scratch(t: { after: (done: () => void) => void }): { directory: string; file: string } {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-names-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return { directory, file: join(directory, 'resolv.conf') };
}

test('the domain and every name below it lead to the router, other names to the machine’s name servers', () => {
  const lines = renderDnsConfig(settings, 'machine', ['10.0.0.2', '127.0.53.1']).split('\n');
  assert.ok(lines.includes('address=/cupola.localhost/127.0.0.1'));
  assert.deepEqual(
    lines.filter((line) => line.startsWith('server=')),
    ['server=10.0.0.2'],
    'it never asks itself',
  );
  assert.deepEqual(
    lines.filter((line) => line.startsWith('listen-address=')),
    ['listen-address=127.0.53.1'],
  );
  for (const line of ['no-hosts', 'no-resolv', 'bind-interfaces', 'port=53', 'strict-order'])
    assert.ok(lines.includes(line), line);
});

test('NET-01: containers ask at their gateway, and every name of the domain leads them to the router inside', () => {
  const lines = renderDnsConfig({ ...settings, bindAddress: '192.0.2.7' }, 'containers', ['10.0.0.2']).split('\n');
  assert.ok(lines.includes('address=/cupola.localhost/10.200.254.254'));
  assert.deepEqual(
    lines.filter((line) => line.startsWith('listen-address=')),
    ['listen-address=169.254.1.1'],
  );
});

test('names of a platform bound to every address lead to the loopback one', () => {
  assert.match(
    renderDnsConfig({ ...settings, bindAddress: '0.0.0.0' }, 'machine', []),
    /^address=\/cupola\.localhost\/127\.0\.0\.1$/m,
  );
});

test('destroy puts the very file back', (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, ORIGINAL, { mode: 0o640 });
  installResolver(settings, file);
  installResolver(settings, file);
  assert.equal(readFileSync(file, 'utf8'), addNameserver(ORIGINAL, { id: 'abc', address: '127.0.53.1' }));
  removeResolver(settings, file);
  assert.equal(readFileSync(file, 'utf8'), ORIGINAL);
  assert.equal(lstatSync(file).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(directory), ['resolv.conf']);
});

test('destroy puts the very link back, and its target was never written', (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(join(directory, 'target'), ORIGINAL);
  symlinkSync('target', file);
  installResolver(settings, file);
  assert.equal(nameserversOf(readFileSync(file, 'utf8'))[0], '127.0.53.1');
  assert.equal(readFileSync(join(directory, 'target'), 'utf8'), ORIGINAL);
  removeResolver(settings, file);
  assert.equal(readlinkSync(file), 'target');
  assert.deepEqual(readdirSync(directory).sort(), ['resolv.conf', 'target']);
});

test('what someone else wrote since stays', (t) => {
  const { file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  installResolver(settings, file);
  writeFileSync(file, 'nameserver 192.168.7.1\n');
  removeResolver(settings, file);
  assert.equal(readFileSync(file, 'utf8'), 'nameserver 192.168.7.1\n');
});

test('two installations can go in either order', (t) => {
  const { directory, file } = scratch(t);
  for (const order of [
    [settings, other],
    [other, settings],
  ]) {
    writeFileSync(file, 'nameserver 10.0.0.2\n');
    installResolver(settings, file);
    installResolver(other, file);
    for (const installation of order) removeResolver(installation, file);
    assert.equal(readFileSync(file, 'utf8'), 'nameserver 10.0.0.2\n');
    assert.deepEqual(readdirSync(directory), ['resolv.conf']);
  }
});

test('an installation that was stopped comes back behind the one that passes names on to it', (t) => {
  const { directory, file } = scratch(t);
  const servers = () => nameserversOf(readFileSync(file, 'utf8'));
  writeFileSync(file, 'nameserver 10.0.0.2\n');
  for (const installation of [settings, other, settings, other]) installResolver(installation, file);
  assert.deepEqual(servers(), ['127.0.53.9', '127.0.53.1', '10.0.0.2']);
  assert.deepEqual(upstreamNameservers(settings, file), ['10.0.0.2']);
  assert.deepEqual(upstreamNameservers(other, file), ['127.0.53.1', '10.0.0.2']);
  removeResolver(settings, file);
  assert.deepEqual(servers(), ['127.0.53.9', '10.0.0.2']);
  removeResolver(other, file);
  assert.equal(readFileSync(file, 'utf8'), 'nameserver 10.0.0.2\n');
  assert.deepEqual(readdirSync(directory), ['resolv.conf']);
});

test('destroy puts the file back from a line of the former wording too', (t) => {
  const { file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  installResolver(settings, file);
  const lines = readFileSync(file, 'utf8').split('\n');
  lines[0] = '# The first name server is cupola\'s; "cupola destroy" removes it.';
  writeFileSync(file, lines.join('\n'));
  removeResolver(settings, file);
  assert.equal(readFileSync(file, 'utf8'), ORIGINAL);
});

test('a platform that runs has its line put back where it is missing, and nothing else done', (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  installResolver(settings, file);
  installResolver(other, file);
  const before = readFileSync(file, 'utf8');
  assert.equal(restoreResolver(settings, file), null);
  assert.equal(readFileSync(file, 'utf8'), before);

  rmSync(file);
  writeFileSync(join(directory, 'target'), ORIGINAL);
  symlinkSync('target', file);
  assert.deepEqual(restoreResolver(settings, file), { outdated: false });
  assert.deepEqual(nameserversOf(readFileSync(file, 'utf8')), ['127.0.53.1', '10.0.0.2', '10.0.0.3']);
  assert.equal(readlinkSync(`${file}.cupola-abc`), 'target');
  writeFileSync(file, 'nameserver 192.168.7.1\n');
  assert.deepEqual(
    restoreResolver(settings, file),
    { outdated: true },
    'its name server asks others until its next start',
  );
  assert.deepEqual(upstreamNameservers(settings, file), ['192.168.7.1']);

  writeFileSync(file, 'nameserver 127.0.0.53\n');
  assert.equal(restoreResolver(settings, file), null, 'systemd-resolved answers the names already');
});

test('nothing is written where systemd-resolved answers the names already', (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, 'nameserver 127.0.0.53\n');
  installResolver(settings, file);
  assert.equal(readFileSync(file, 'utf8'), 'nameserver 127.0.0.53\n');
  assert.deepEqual(readdirSync(directory), ['resolv.conf']);
  installResolver({ ...settings, domain: 'paas.example' }, file);
  assert.equal(nameserversOf(readFileSync(file, 'utf8'))[0], '127.0.53.1');
});
