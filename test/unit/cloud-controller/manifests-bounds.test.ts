import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffManifest } from '../../../src/cloud-controller/manifests/diff.ts';
import { readManifest } from '../../../src/cloud-controller/manifests/manifest.ts';

const HTTP2 = { http2Apps: true };

const told = (fields: object): string[] =>
  readManifest({ applications: [{ name: 'a', ...fields }] }, HTTP2).problems.map((problem) =>
    problem.replace("For application 'a': ", ''),
  );
const list = <Item>(count: number, of: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => of(index));
const sidecar = (fields: object) => ({ sidecars: [{ name: 's', command: 'c', process_types: ['web'], ...fields }] });
const process = (fields: object) => ({ processes: [{ type: 'worker', ...fields }] });

test('a manifest brings nothing that the operations of the API would not take, and says so in their words', () => {
  const taken: object[] = [
    { buildpacks: list(20, (index) => `b${index}`), stack: 's'.repeat(4096) },
    sidecar({ name: 'n'.repeat(255), command: 'c'.repeat(4096), memory: '1M' }),
    process({ command: 'c'.repeat(4096), instances: 10_000 }),
    { metadata: { labels: { 'example.org/a': 'b' }, annotations: { a: 'x'.repeat(5000) } } },
    { env: { A: 'x'.repeat(100_000) } },
  ];
  for (const fields of taken) assert.deepEqual(told(fields), []);
  const refused: [object, string][] = [
    [{ name: 'n'.repeat(256) }, 'Name is too long (maximum is 255 characters)'],
    [{ buildpacks: list(21, () => 'b') }, 'Buildpacks must have at most 20 elements'],
    [{ buildpacks: ['b'.repeat(4097)] }, 'Buildpacks 0 is too long (maximum is 4096 characters)'],
    [{ buildpacks: [''] }, "Buildpacks 0 can't be blank"],
    [{ buildpack: 'b'.repeat(4097) }, 'Buildpacks 0 is too long (maximum is 4096 characters)'],
    [{ stack: 's'.repeat(4097) }, 'Stack is too long (maximum is 4096 characters)'],
    [{ command: '' }, 'Process "web": Command must be between 1 and 4096 characters'],
    [process({ command: 'c'.repeat(4097) }), 'Process "worker": Command must be between 1 and 4096 characters'],
    [process({ type: 'a\nb' }), 'Process "a\nb": Type must not contain escaped characters'],
    [process({ type: '' }), 'All Processes must specify a type'],
    [process({ type: 't'.repeat(256) }), 'Type is too long (maximum is 255 characters)'],
    [sidecar({ name: 'n'.repeat(256) }), 'Name is too long (maximum is 255 characters)'],
    [sidecar({ name: '' }), 'Sidecar "": Name can\'t be blank'],
    [sidecar({ command: '' }), 'Sidecar "s": Command can\'t be blank'],
    [sidecar({ command: 'c'.repeat(4097) }), 'Sidecar "s": Command is too long (maximum is 4096 characters)'],
    [sidecar({ process_types: [''] }), 'Sidecar "s": Process types 0 can\'t be blank'],
    [sidecar({ process_types: ['a\0'] }), 'Sidecar name or process type must not contain escaped characters'],
    [
      sidecar({ process_types: list(101, (index) => `t${index}`) }),
      'Sidecar "s": Process types must have at most 100 elements',
    ],
    [{ env: { A: 'x'.repeat(128 * 1024) } }, 'Environment variables is too large (maximum is 128 KB)'],
    [{ metadata: { labels: { 'not good': 'x' } } }, "Metadata label key error: 'not good' contains invalid characters"],
    [{ metadata: { labels: { a: 'not good' } } }, "Metadata label value error: 'not good' contains invalid characters"],
    [
      { metadata: { annotations: { a: 'x'.repeat(5001) } } },
      "Metadata annotation value error: 'xxxxxxxx...' is greater than 5000 characters",
    ],
    [
      { metadata: { labels: Object.fromEntries(list(201, (index) => [`k${index}`, 'v'])) } },
      'Failed to add labels because it would exceed maximum of 200',
    ],
    [{ processes: list(101, (index) => ({ type: `t${index}` })) }, 'Processes must have at most 100 elements'],
    [
      { sidecars: list(101, (index) => ({ ...sidecar({}).sidecars[0], name: `${index}` })) },
      'Sidecars must have at most 100 elements',
    ],
    [{ routes: list(201, (index) => ({ route: `h${index}.example.org` })) }, 'Routes must have at most 200 elements'],
    [{ services: list(101, (index) => `s${index}`) }, 'Services must have at most 100 elements'],
    [{ services: ['s'.repeat(256)] }, 'Service instance name is too long (maximum is 255 characters)'],
  ];
  for (const [fields, sentence] of refused) {
    const problems = told(fields);
    assert.equal(problems.length, 1, `${sentence}: ${problems}`);
    assert.ok(problems[0]!.includes(sentence), `${problems[0]} instead of ${sentence}`);
  }
});

test('what is out of bounds is told by the bound that it exceeds, and what is no number by that', () => {
  const seconds = ['timeout', 'health_check_interval', 'readiness_health_check_invocation_timeout'];
  const refused: [object, string][] = [
    [{ instances: -1 }, 'Instances must be greater than or equal to 0'],
    [{ instances: '-1' }, 'Instances must be greater than or equal to 0'],
    [{ instances: 10_001 }, 'Instances must be less than or equal to 10000'],
    [{ instances: '99999999999' }, 'Instances must be less than or equal to 10000'],
    [{ instances: 1.5 }, 'Instances must be an integer'],
    [{ instances: 'many' }, 'Instances is not a number'],
    [{ instances: true }, 'Instances is not a number'],
    ...seconds.flatMap((name): [object, string][] => [
      [{ [name]: 0 }, 'must be greater than or equal to 1'],
      [{ [name]: 86_401 }, 'must be less than or equal to 86400'],
    ]),
    [{ memory: '0M' }, 'Memory must be greater than 0MB'],
    [{ memory: '2048T' }, 'Memory must be less than or equal to 2147483647MB'],
    [{ memory: '9999999999999999M' }, 'Memory must be less than or equal to 2147483647MB'],
    [{ disk_quota: '9999999999T' }, 'Disk quota must be less than or equal to 2147483647MB'],
    [sidecar({ memory: '2048T' }), 'Sidecar "s": Memory must be less than or equal to 2147483647MB'],
    [{ log_rate_limit_per_second: '-2B' }, 'Log rate limit must be greater than or equal to -1'],
    [{ log_rate_limit_per_second: '2G' }, 'Log rate limit must be less than or equal to 2147483647'],
  ];
  for (const [fields, sentence] of refused) {
    const problems = told(fields);
    assert.equal(problems.length, 1, `${sentence}: ${problems}`);
    assert.ok(problems[0]!.endsWith(sentence), `${problems[0]} instead of ${sentence}`);
  }
  const largest = {
    instances: 10_000,
    timeout: 86_400,
    memory: '2147483647M',
    log_rate_limit_per_second: '2147483647B',
  };
  assert.deepEqual(told(largest), []);
  assert.deepEqual(told({ instances: '3', log_rate_limit_per_second: -1 }), []);
});

test('a manifest has at most a hundred apps, and no problem of it is longer than can be read', () => {
  const apps = (count: number) => ({ applications: list(count, (index) => ({ name: `a${index}` })) });
  assert.deepEqual(readManifest(apps(100), HTTP2).problems, []);
  assert.deepEqual(readManifest(apps(101), HTTP2).problems, ['Applications must have at most 100 elements']);
  const [long] = readManifest(
    { applications: [{ name: 'a', routes: [{ route: 'x '.repeat(400_000) }] }] },
    HTTP2,
  ).problems;
  assert.equal(long?.length, 1000);
});

test('a comparison shows a size that is no number of ours as it was written', () => {
  const huge = `${'9'.repeat(400)}G`;
  const app = (size: string, rate: string) => ({
    name: 'app',
    processes: [{ type: 'web', memory: size, 'log-rate-limit-per-second': rate }],
  });
  const shown = diffManifest([app(huge, huge)], () => app('1G', '1K'));
  assert.deepEqual(
    shown.flatMap((difference) => ('value' in difference ? [difference.value] : [])),
    [huge, huge],
  );
});
