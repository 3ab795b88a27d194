import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffManifest } from '../../../src/cloud-controller/manifests/diff.ts';
import { readManifest } from '../../../src/cloud-controller/manifests/manifest.ts';
import { hostDomainCandidates, parseRouteString } from '../../../src/cloud-controller/manifests/route-string.ts';
import {
  formatBytes,
  parseBytes,
  parseLogRate,
  parseMegabytes,
} from '../../../src/cloud-controller/manifests/sizes.ts';
import { readBoundedYaml, YamlRefusedError } from '../../../src/cloud-controller/manifests/yaml.ts';

const refuses = (text: string): void => {
  const started = performance.now();
  assert.throws(() => readBoundedYaml(text), YamlRefusedError);
  assert.ok(performance.now() - started < 10_000, 'a refusal is quick');
};

test('a manifest of anchors and merge keys is read', () => {
  const manifest = 'x: &d\n  memory: 64M\napplications:\n- name: a\n  <<: *d\n- name: b\n  <<: *d\n';
  const { apps, problems } = readManifest(readBoundedYaml(manifest));
  assert.deepEqual(problems, []);
  assert.deepEqual(
    apps.map((app) => [app.name, app.processes[0]!.memoryMb]),
    [
      ['a', 64],
      ['b', 64],
    ],
  );
});

test('SECURITY 25: an alias bomb is refused', () => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const items = Array.from({ length: 10 }, () => (level === 0 ? 'lol' : `*l${level - 1}`)).join(',');
    return `l${level}: &l${level} [${items}]`;
  });
  refuses(levels.join('\n'));
  refuses('a: &a [*a]\nb: *a');
});

test('SECURITY 25: depth, size and token floods are refused before they are composed', () => {
  refuses('['.repeat(500_000));
  refuses(`${'- '.repeat(300_000)}a`);
  refuses(`${'? '.repeat(300_000)}a`);
  refuses(Array.from({ length: 200 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'));
  refuses(`a: ${'x'.repeat(1024 * 1024)}`);
  refuses('[1],\n'.repeat(200_000));
  refuses(`{${'a: 1, '.repeat(150_000)}}`);
  refuses('a: 1\n---\nb: 2\n');
  refuses('a: !!binary [\n');
});

test('a prototype in a manifest changes nothing', () => {
  const read = readBoundedYaml('__proto__: {polluted: true}\na: 1') as Record<string, unknown>;
  assert.deepEqual(Object.keys(read), ['a']);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('sizes are read with their unit and refused without', () => {
  assert.deepEqual(parseMegabytes('1G'), { megabytes: 1024 });
  assert.deepEqual(parseMegabytes('1.5gb'), { megabytes: 1536 });
  assert.deepEqual(parseMegabytes('256'), { problem: 'unit' });
  assert.deepEqual(parseMegabytes('abc'), { problem: 'number' });
  assert.deepEqual(parseBytes('1K'), { bytes: 1024 });
  assert.deepEqual(parseLogRate('-1'), { bytes: -1 });
  assert.deepEqual([formatBytes(1024), formatBytes(1000), formatBytes(2 ** 30)], ['1K', '1000B', '1G']);
});

test('routes are taken apart as a manifest spells them', () => {
  assert.deepEqual(parseRouteString('Web.example.org/v1'), { host: 'web.example.org', path: '/v1', port: null });
  assert.deepEqual(parseRouteString('https://*.example.org'), { host: '*.example.org', path: '', port: null });
  assert.deepEqual(parseRouteString('tcp.example.org:1024'), { host: 'tcp.example.org', path: '', port: 1024 });
  for (const bad of ['', 'web', 'http://a b.c', 'a.b/c?d=e', 'ftp://a.b', 'a..b', '-a.b', 'a.*.b', 'user@a.b']) {
    assert.equal(parseRouteString(bad), null, bad);
  }
  assert.deepEqual(hostDomainCandidates('a.b.c'), [
    { host: '', domain: 'a.b.c' },
    { host: 'a', domain: 'b.c' },
  ]);
});

test('an app is read with its processes, in either spelling', () => {
  const { apps, problems } = readManifest(
    readBoundedYaml(`
applications:
- name: shop
  buildpack: nodejs_buildpack
  env: {PORTS: 1, FLAG: true, OBJECT: {a: 1}}
  disk_quota: 512M
  health-check-type: http
  health-check-http-endpoint: /up
  timeout: 90
  command: null
  routes: [{route: shop.example.org}]
  processes:
  - type: worker
    instances: 2
    memory: 128M
    log-rate-limit-per-second: 16K
`),
  );
  assert.deepEqual(problems, []);
  const [app] = apps;
  assert.deepEqual(app!.buildpacks, ['nodejs_buildpack']);
  assert.deepEqual(app!.env, { PORTS: '1', FLAG: 'true', OBJECT: '{"a":1}' });
  assert.deepEqual(app!.processes, [
    {
      type: 'web',
      command: null,
      diskMb: 512,
      healthCheck: { type: 'http', endpoint: '/up', timeout: 90 },
      readinessCheck: {},
    },
    { type: 'worker', instances: 2, memoryMb: 128, logRateLimit: 16_384, healthCheck: {}, readinessCheck: {} },
  ]);
});

test('every problem of a manifest is named with its app', () => {
  const { problems } = readManifest(
    readBoundedYaml(`
applications:
- name: a
  memory: 12
  instances: -1
  env: {VCAP_X: 1, PORT: 2}
  routes: [{route: "not a route"}]
  random-route: true
  default-route: true
- processes: [{type: web, health-check-type: guess}, {type: web}]
`),
  );
  assert.deepEqual(problems, [
    'For application \'a\': Process "web": Instances must be greater than or equal to 0',
    'For application \'a\': Process "web": Memory must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB',
    "For application 'a': Random-route and default-route may not be used together",
    "For application 'a': Env cannot start with VCAP_",
    "For application 'a': Env cannot set PORT",
    "For application 'a': The route 'not a route' is not a properly formed URL",
    'For application at index 1: Name must not be empty',
    'For application at index 1: Process "web": Health check type must be "port", "process", or "http"',
    'For application at index 1: Process "web" may only be present once',
  ]);
  assert.deepEqual(readManifest({}).problems, ["Cannot parse manifest with no 'applications' field."]);
  assert.equal(readManifest({ version: 2, applications: [{}] }).problems.length, 1);
});

test('manifest_diff shows what would change and keeps quiet about the rest', () => {
  const existing = {
    name: 'shop',
    env: { A: '1', B: '2' },
    stack: 'debian12',
    routes: [{ route: 'shop.example.org', protocol: 'http1' }],
    processes: [{ type: 'web', instances: 1, memory: '64M', disk_quota: '1024M', 'health-check-type': 'port' }],
  };
  const wanted = [
    {
      name: 'shop',
      env: { A: '9' },
      stack: 'debian12',
      'health-check-type': 'http',
      routes: [{ route: 'shop.example.org' }, { route: 'new.example.org' }],
      processes: [{ type: 'web', memory: '0.125G', instances: 1 }],
    },
  ];
  assert.deepEqual(
    diffManifest(wanted, () => existing),
    [
      { op: 'replace', path: '/applications/0/env/A', was: '1', value: '9' },
      { op: 'replace', path: '/applications/0/health-check-type', was: 'port', value: 'http' },
      { op: 'add', path: '/applications/0/routes/1', value: { route: 'new.example.org' } },
      { op: 'replace', path: '/applications/0/processes/0/memory', was: '64M', value: '128M' },
    ],
  );
  assert.deepEqual(
    diffManifest([{ name: 'x', unknown: 1, memory: '1G' }], () => null),
    [{ op: 'add', path: '/applications/0/name', value: 'x' }],
  );
});
