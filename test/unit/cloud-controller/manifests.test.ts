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
import { readBoundedYaml, YAML_LIMITS, YamlRefusedError } from '../../../src/kit/yaml.ts';
import { processorTimeOf } from '../../support/processor-time.ts';
import { longestStall } from '../../support/stalls.ts';

/** As where the operator has switched HTTP/2 to apps on. */
const HTTP2 = { http2Apps: true };

const refuses = async (text: string, why = /./): Promise<void> => {
  const started = performance.now();
  await assert.rejects(
    () => readBoundedYaml(text),
    (error) => error instanceof YamlRefusedError && why.test(error.message),
  );
  assert.ok(performance.now() - started < 10_000, 'a refusal is quick');
};

test('what becomes text stays as it is written', async () => {
  const written = {
    BIG: '12345678901234567890',
    ODD: '9007199254740993',
    FLOAT: '1.0',
    OCTAL: '0123',
    EXPONENT: '1e3',
    HEX: '0x10',
    PLUS: '+5',
    YES: 'yes',
    DAY: '2020-01-01',
    COLONS: '12:30:45',
    PLAIN: '42',
    TRUE: 'true',
  };
  const lines = Object.entries(written).map(([name, text]) => `    ${name}: ${text}\n`);
  const manifest = `applications:\n- name: a\n  instances: 3\n  metadata:\n    labels: {n: 1.10}\n  env:\n${lines.join('')}    NONE: ~\n`;
  const { apps, problems } = readManifest(await readBoundedYaml(manifest), HTTP2);
  assert.deepEqual(problems, []);
  assert.deepEqual(apps[0]!.env, { ...written, NONE: '' });
  assert.equal(apps[0]!.metadata!.labels['n'], '1.10');
  assert.equal(apps[0]!.processes[0]!.instances, 3);
});

test('no field of a manifest is dropped without a word', async () => {
  const told = async (fields: string): Promise<string[]> =>
    readManifest(await readBoundedYaml(`applications:\n- {name: a, ${fields}}\n`), HTTP2).problems.map((problem) =>
      problem.replace("For application 'a': ", ''),
    );
  assert.deepEqual(await told('routes: [{route: a.example.org, options: {loadbalancing: round-robin}}]'), []);
  assert.deepEqual(await told('routes: [{route: a.example.org, options: {loadbalancing: least-connection}}]'), [
    "Cannot use loadbalancing value 'least-connection' for Route 'a.example.org'; Valid values are: 'round-robin'",
  ]);
  assert.deepEqual(await told('routes: [{route: a.example.org, options: {hash_header: x}}]'), [
    "Route 'a.example.org' contains invalid route option 'hash_header'. Valid keys: 'loadbalancing'",
  ]);
  assert.deepEqual(await told('routes: [{route: a.example.org, options: 3}]'), [
    "Route 'a.example.org': options must be an object",
  ]);
  assert.deepEqual(await told('lifecycle: cnb'), ['Lifecycle type is not included in the list: buildpack, docker']);
  assert.deepEqual(await told('cnb-credentials: {r: {}}'), [
    'Cnb credentials cannot be used: Cloud Native Buildpacks are not available',
  ]);
  assert.deepEqual(await told('processes: [{type: web, user: root}]'), [`Process "web": User must be 'vcap'`]);
  assert.deepEqual(await told('processes: [{type: web, user: vcap}]'), []);
  assert.deepEqual(await told('stack: 3'), ['Stack must be a string']);
  assert.deepEqual(await told('services: [{name: 3}]'), ['Services must be a list of service instances']);
  assert.deepEqual(await told('metadata: {labels: {}, owner: x}'), ["Metadata has unexpected field(s): 'owner'"]);
  assert.deepEqual(await told('features: {file-based-vcap-services: true}'), [
    'Features contains invalid feature names: file-based-vcap-services',
  ]);
  await assert.rejects(() => told('env: {A: "x\\0y"}'), /forbidden character/);
});

test('a manifest of anchors and merge keys is read', async () => {
  const manifest = 'x: &d\n  memory: 64M\napplications:\n- name: a\n  <<: *d\n- name: b\n  <<: *d\n';
  const { apps, problems } = readManifest(await readBoundedYaml(manifest), HTTP2);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    apps.map((app) => [app.name, app.processes[0]!.memoryMb]),
    [
      ['a', 64],
      ['b', 64],
    ],
  );
});

test('a map takes what several others hold, and of a name that two of them have, the first', async () => {
  const twice = 'a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 3}\nc:\n  <<: *a\n  <<: *b\n';
  const { c } = (await readBoundedYaml(twice)) as { c: unknown };
  assert.deepEqual(c, { x: 1, y: 1, z: 3 });
  assert.deepEqual(await readBoundedYaml('{<<: {x: 1}, <<: {z: 3}, y: 2}'), { x: 1, y: 2, z: 3 });
  await refuses('{"<<": 1, "<<": 2}', /a key twice/);
  await refuses('{<<: {x: 1}, <<: {"\\0": 1}}', /forbidden character/);
  await refuses('{<<: {x: 1}, <<: {y: 1, y: 2}}', /a key twice/);
  await refuses('{<<: {x: 1}, <<: {__proto__: 1}}', /forbidden name/);
});

test('SECURITY 25: an alias bomb is refused', async () => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const items = Array.from({ length: 10 }, () => (level === 0 ? 'lol' : `*l${level - 1}`)).join(',');
    return `l${level}: &l${level} [${items}]`;
  });
  await refuses(levels.join('\n'));
  await refuses('a: &a [*a]\nb: *a');
  // Each bound by itself: how many aliases, what they expand to, and how much there is in the end.
  const aliases = (count: number) => `a: &a x\nb: [${Array(count).fill('*a').join(',')}]`;
  assert.ok(await readBoundedYaml(aliases(50)));
  await refuses(aliases(201), /too many aliases/);
  await refuses(`a: &a [${Array(20).fill('x').join(',')}]\nb: [${Array(150).fill('*a').join(',')}]`, /expands to more/);
  const names = Array.from({ length: 1000 }, (_, index) => `k${index}: 1`).join(',');
  const merges = Array.from({ length: 60 }, (_, index) => `m${index}: {<<: *a}`).join('\n');
  await refuses(`a: &a {${names}}\n${merges}`, /expands to more/);
});

test('SECURITY 25: depth, size and token floods are refused before they are composed', async () => {
  await refuses('['.repeat(500_000));
  await refuses(`${'- '.repeat(300_000)}a`);
  await refuses(`${'? '.repeat(300_000)}a`);
  await refuses(Array.from({ length: 200 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'));
  await refuses(`a: ${'x'.repeat(1024 * 1024)}`, /larger than 1024 KiB/);
  await refuses(`[${'[1], '.repeat(200_000)}]`, /too many nodes/);
  await refuses(`{${'a: 1, '.repeat(150_000)}}`, /too many nodes/);
  await refuses(`[${'1,'.repeat(250_000)}]`, /too many nodes/);
  await refuses(`a: b\n${'\n'.repeat(YAML_LIMITS.lines)} c`, /too many lines/);
  await refuses('a: 1\n---\nb: 2\n', /one document/);
  await refuses('a: !!binary [\n');
});

test('a name that comes twice in a map is refused, however it is spelled; the same name in two maps is not', async () => {
  for (const twice of ['a: 1\na: 2', '{a: 1, b: 2, a: 3}', 'a: 1\n"a": 2', '1: a\n"1": b', 'TRUE: 1\n"TRUE": 2']) {
    await refuses(twice, /a key twice/);
  }
  assert.deepEqual(await readBoundedYaml('a: {x: 1}\nb: {x: 1}'), { a: { x: 1 }, b: { x: 1 } });
});

test('SECURITY 25: a document of as many names, faults or merges as it may hold takes no time worth speaking of', async () => {
  const many = (count: number, of: (index: number) => string, between: string) =>
    Array.from({ length: count }, (_, index) => of(index)).join(between);
  const invalid = 'the document is not valid YAML';
  // Of some 59,000 lexemes; merges are bounded by what they become.
  const costs: Record<string, [text: string, said: string]> = {
    names: [many(8_500, (index) => `k${index}: 1`, '\n'), 'read'],
    'names in a flow': [`{${many(19_800, (index) => `k${index}`, ',')}}`, 'read'],
    faults: [`[${','.repeat(59_900)}`, invalid],
    tags: [`a: ${'!a '.repeat(29_900)}`, invalid],
    merges: [
      `a: &a {${many(120, (index) => `k${index}: 1`, ',')}}\n${many(50, (index) => `m${index}:\n  <<: *a`, '\n')}`,
      'read',
    ],
  };
  const read = (text: string): Promise<string> =>
    readBoundedYaml(text).then(
      () => 'read',
      (error) => (error instanceof YamlRefusedError ? error.message : String(error)),
    );
  const comments = `a:\n${'  # c\n'.repeat(19_900)}  b: 1`;
  assert.equal(await read(comments), 'read');
  const least = await processorTimeOf(() => read(comments));
  for (const [what, [text, said]] of Object.entries(costs)) {
    const ms = await processorTimeOf(async () => assert.equal(await read(text), said, what));
    assert.ok(ms < 5 * least, `${what}: ${Math.round(ms)} ms, where as many comments take ${Math.round(least)} ms`);
  }
});

test('SECURITY 25: whatever a document is made of, others have their turns while it is read', async () => {
  const many = (count: number, of: (index: number) => string, between = '\n') =>
    Array.from({ length: count }, (_, index) => of(index)).join(between);
  const size = YAML_LIMITS.bytes - 20;
  const lines = YAML_LIMITS.lines - 2;
  const costs: Record<string, string> = {
    names: many(9_900, (index) => `k${index}: 1`),
    'too many names': many(60_000, (index) => `k${index}: 1`),
    comments: `a:\n${`  # ${'c'.repeat(10)}\n`.repeat(lines)}  b: 1`,
    'comments at the end': `a: 1\n${'#\n'.repeat(lines)}`,
    'white space': `a:${' '.repeat(size)}1`,
    'empty lines': `a: b\n${'\n'.repeat(lines)} c`,
    'deep flows': `${'['.repeat(60)}${']'.repeat(60)}`,
    'long flows': `[${many(6_500, (index) => `a${index}: 1`, ',')}]`,
    escapes: `a: "${'\\n'.repeat(size / 2)}"`,
    'wrong escapes': `a: "${'\\q'.repeat(size / 2)}"`,
    'wrong characters': `a: "${'\\xzz'.repeat(size / 4)}"`,
    'folded lines': `a: >\n${' x\n'.repeat(lines)}`,
    'a number of a million digits': `a: ${'1'.repeat(size)}`,
    documents: 'a\n---\n'.repeat(15_000),
    anchors: many(6_600, (index) => `k${index}: &a${index} x`),
    tags: many(6_600, (index) => `k${index}: !t${index} x`),
    'one long text many times': `a: &a ${'x'.repeat(900_000)}\n${many(199, (index) => `b${index}: *a`)}`,
  };
  for (const [what, text] of Object.entries(costs)) {
    const stall = await longestStall(() =>
      readBoundedYaml(text).catch((error) => assert.ok(error instanceof YamlRefusedError)),
    );
    assert.ok(stall < 300, `${what}: nobody had a turn for ${Math.round(stall)} ms`);
  }
  await refuses(costs['one long text many times']!, /expands to more/);
  await refuses(costs['wrong escapes']!, /not valid/);
  assert.deepEqual(await readBoundedYaml('a: "\\x41\\u00e9\\U0001F600\\t\\\\q\\"\\\n  b"'), { a: 'Aé😀\t\\q"b' });
});

test('a prototype in a manifest is refused, and changes nothing', async () => {
  for (const text of ['__proto__: {polluted: true}\na: 1', 'a: {"__proto__": {polluted: true}}']) {
    await refuses(text, /forbidden name/);
  }
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('sizes are read with their unit and refused without', async () => {
  assert.deepEqual(parseMegabytes('1G'), { megabytes: 1024 });
  assert.deepEqual(parseMegabytes('1.5gb'), { megabytes: 1536 });
  assert.deepEqual(parseMegabytes('256'), { problem: 'unit' });
  assert.deepEqual(parseMegabytes('abc'), { problem: 'number' });
  assert.deepEqual(parseBytes('1K'), { bytes: 1024 });
  assert.deepEqual(parseLogRate('-1'), { bytes: -1 });
  assert.deepEqual([formatBytes(1024), formatBytes(1000), formatBytes(2 ** 30)], ['1K', '1000B', '1G']);
});

test('routes are taken apart as a manifest spells them', async () => {
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

test('an app is read with its processes, in either spelling', async () => {
  const { apps, problems } = readManifest(
    await readBoundedYaml(`
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
    HTTP2,
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

test('every problem of a manifest is named with its app', async () => {
  const { problems } = readManifest(
    await readBoundedYaml(`
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
    HTTP2,
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
  assert.deepEqual(readManifest({}, HTTP2).problems, ["Cannot parse manifest with no 'applications' field."]);
  assert.equal(readManifest({ version: 2, applications: [{}] }, HTTP2).problems.length, 1);
});

test('manifest_diff shows what would change and keeps quiet about the rest', async () => {
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

test('SECURITY 6: a route that asks for HTTP/2 is a problem with its app named, where the platform has that switched off', async () => {
  const document = await readBoundedYaml(
    'applications:\n- {name: a, routes: [{route: a.example.org, protocol: http2}, {route: b.example.org, protocol: http1}]}\n',
  );
  assert.deepEqual(readManifest(document, { http2Apps: false }).problems, [
    "For application 'a': Route 'a.example.org': protocol 'http2' is switched off on this platform: its router speaks HTTP/1.1 to apps. The operator can switch it on.",
  ]);
  assert.deepEqual(readManifest(document, HTTP2).problems, []);
});
