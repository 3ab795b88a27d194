import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { send } from '../../../src/cell/garden/archives.ts';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { digesting, readableSize } from '../../../src/cell/staging/digest.ts';
import { failureOf } from '../../../src/cell/staging/failure.ts';
import { interpretResult, readResultFiles } from '../../../src/cell/staging/result.ts';
import { takeOut } from '../../../src/cell/staging/transfers.ts';
import { BuildpackSchema } from '../../../src/contracts/gen/diego_pb.js';
import { startProgram } from '../../../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../../../src/kit/process.ts';
import { tar } from '../../support/archives.ts';

const NODE = create(BuildpackSchema, { name: 'nodejs_buildpack', key: 'k1' });
const buildpackOf = (directory: string) => (directory === 'd1' ? NODE : undefined);

test('the result names buildpacks as the task did; the Procfile goes over what the buildpack released', () => {
  const files = new Map([
    ['buildpacks', 'd1 1.2.3\n'],
    ['detected', 'nodejs\u001b[31m 1.2.3\n'],
    ['release.yml', 'default_process_types: {web: npm start, worker: npm run w}'],
    ['Procfile', 'web: node x.js'],
  ]);
  assert.deepEqual(interpretResult(files, buildpackOf), {
    lifecycle_type: 'buildpack',
    lifecycle_metadata: {
      detected_buildpack: 'nodejs[31m 1.2.3',
      buildpacks: [{ key: 'k1', name: 'nodejs_buildpack', own_name: '', version: '1.2.3' }],
    },
    process_types: { web: 'node x.js', worker: 'npm run w' },
    sidecars: [],
    execution_metadata: '',
  });
});

test('what a buildpack calls itself stands beside the platform’s name, and is what was detected', () => {
  const metadataWith = (config: string) => {
    const files = new Map([
      ['buildpacks', 'd1 1\nd1 1\n'],
      ['detected', 'printed'],
      ['config-1.yml', config],
    ]);
    const { detected_buildpack, buildpacks } = interpretResult(files, buildpackOf).lifecycle_metadata;
    return [detected_buildpack, ...buildpacks.map(({ own_name }) => own_name)];
  };
  assert.deepEqual(metadataWith('name: nodejs\nconfig: {}\n'), ['nodejs', '', 'nodejs']);
  assert.deepEqual(metadataWith('name: "a\\u001b[31m"'), ['a[31m', '', 'a[31m']);
  for (const strange of ['name: 3', '- x', '{', 'config: {}', `name: ${'x'.repeat(70_000)}`]) {
    assert.deepEqual(metadataWith(strange), ['printed', '', ''], strange.slice(0, 20));
  }
});

test('a buildpack’s launch.yml brings processes and sidecars; what is no such file is refused', () => {
  const launch = `processes:
- {type: worker, command: ./work}
- {type: agent, command: ./agent, limits: {memory: 32}, platforms: {cloudfoundry: {sidecar_for: [web, worker]}}}`;
  const files = new Map([
    ['release.yml', 'default_process_types: {web: npm start, worker: npm run w}'],
    ['launch-0.yml', launch],
    ['launch-1.yml', 'processes: [{type: other, command: ./other}]'],
  ]);
  const { process_types, sidecars } = interpretResult(files, buildpackOf);
  assert.deepEqual(process_types, { web: 'npm start', worker: './work', other: './other' });
  assert.deepEqual(sidecars, [
    { name: 'agent', command: './agent', process_types: ['web', 'worker'], memory_in_mb: 32 },
  ]);
  for (const wrong of [
    'processes: x',
    'processes: [{type: "../x", command: c}]',
    'processes: [{type: x}]',
    'processes: [{type: x, command: c, limits: {memory: -1}, platforms: {cloudfoundry: {sidecar_for: [web]}}}]',
    'processes: [{type: x, command: c, platforms: {cloudfoundry: {sidecar_for: web}}}]',
  ]) {
    const refused = new Map([['launch-0.yml', wrong]]);
    assert.throws(() => interpretResult(refused, buildpackOf), { code: 'release_invalid' }, wrong);
  }
});

test('a result that names a buildpack the task did not is refused', () => {
  assert.throws(() => interpretResult(new Map([['buildpacks', 'other 1\n']]), buildpackOf), {
    code: 'release_invalid',
  });
});

test('only the known files of a result are read, links are not, and a long one is refused', async () => {
  const archive = tar([
    { name: 'result/', type: 'directory' },
    { name: 'result/detected', content: 'x' },
    { name: 'result/secret', content: 'y' },
    { name: 'result/release.yml', type: 'symlink', link: '/etc/passwd' },
  ]);
  assert.deepEqual([...(await readResultFiles(Readable.from([archive])))], [['detected', 'x']]);
  const long = tar([{ name: 'result/release.yml', content: 'x'.repeat(200_000) }]);
  await assert.rejects(readResultFiles(Readable.from([long])), { code: 'release_invalid' });
});

test('SECURITY 24: a result of more bytes or files than it may have is refused before they are read', async () => {
  const many = tar(Array.from({ length: 1001 }, (_, index) => ({ name: `result/${index}`, content: '' })));
  await assert.rejects(readResultFiles(Readable.from([many])), { code: 'release_invalid' });
  const large = tar([{ name: 'result/other', content: 'x' }]);
  large.write('77777777777', 124, 'latin1'); // it says that it has 8 GiB
  let sum = 0;
  for (const [at, byte] of large.subarray(0, 512).entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  large.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  let read = 0;
  const endless = Readable.from(
    (function* () {
      yield large.subarray(0, 512);
      for (; read < 1_000_000_000; read += 65_536) yield Buffer.alloc(65_536);
    })(),
  );
  await assert.rejects(readResultFiles(endless), { code: 'release_invalid' });
  assert.ok(read < 1_000_000, `${read} bytes were read`);
});

test('a blob that is not the announced one fails before its end, as does one that is too long', async () => {
  const pass = (options: Parameters<typeof digesting>[0]) =>
    buffer(Readable.from([Buffer.from('content')]).pipe(digesting(options).stream));
  await assert.rejects(pass({ expected: '0'.repeat(64) }), { code: 'blob_digest_mismatch' });
  await assert.rejects(pass({ maximum: 6 }), { code: 'blob_too_large' });
  assert.equal((await pass({ maximum: 7 })).toString(), 'content');
});

test('sizes read as in the staging log of Cloud Foundry', () => {
  assert.deepEqual([0, 220, 1024, 1_258_291, 53_219_789, 112_632_428].map(readableSize), [
    '0B',
    '220B',
    '1K',
    '1.2M',
    '50.8M',
    '107M',
  ]);
});

test('exit codes of the builder are the reasons the v3 API knows', () => {
  const end = { outOfMemory: false, diskFull: false, memoryMb: 64, diskMb: 32 };
  const code = (exitCode: number) => failureOf({ ...end, exitCode }).code;
  assert.deepEqual([222, 223, 224, 1].map(code), [
    'NoAppDetectedError',
    'BuildpackCompileFailed',
    'BuildpackReleaseFailed',
    'StagingError',
  ]);
  assert.match(failureOf({ ...end, exitCode: 223, outOfMemory: true }).reason, /^StagingError: .*64M of memory/);
  assert.match(failureOf({ ...end, exitCode: 223, diskFull: true }).reason, /^StagingError: .*32M of disk/);
});

/** A container of which one gets what a command writes. */
const giving = (script: string): Container => {
  const command = () => startProgram('sh', ['-c', script], { env: PLAIN_ENVIRONMENT });
  const streamOut: Container['streamOut'] = (_path, signal) => send(command(), new PassThrough(), signal);
  return { streamOut } as Partial<Container> as Container;
};
const never = new AbortController().signal;

test('whoever reads what a container gives is told when it is no longer wanted', async () => {
  for (const script of ['exec cat /dev/zero', 'exec sleep 60']) {
    const cancelling = new AbortController();
    setTimeout(() => cancelling.abort(), 50);
    const reading = takeOut(giving(script), '/tmp/output/result', cancelling.signal, (tar) => finished(tar.resume()));
    await assert.rejects(reading, { name: 'AbortError' });
  }
});

test('what is not there, or cannot be read, or is no tar, is a fault of the app; a command that never ran is none', async () => {
  const read = (script: string) => takeOut(giving(script), '/tmp/output/result', never, readResultFiles);
  const message = 'What staging made at /tmp/output/result could not be read';
  for (const script of ['exit 1', 'head -c 512 /dev/zero; sleep 0.1; exit 2', 'yes | head -c 1024']) {
    await assert.rejects(read(script), { name: 'StagingFailure', code: 'StagingError', message });
  }
  await assert.rejects(read('exit 255'), { code: 'archive_failed' });
});
