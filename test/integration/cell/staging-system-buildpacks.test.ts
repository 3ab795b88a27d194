import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Buildpack } from '../../../src/contracts/gen/diego_pb.js';
import { TestBlobs, testBuildpacks } from '../../support/buildpacks.ts';
import { GARDEN_SKIP, startTestGarden, type TestGarden } from '../../support/garden.ts';
import {
  answerOf,
  EXAMPLES,
  launch,
  type NameServer,
  PUBLIC_NETWORKS,
  packageOf,
  registrySkip,
  stage,
} from '../../support/staging.ts';

const REGISTRY_SKIP = GARDEN_SKIP || (await registrySkip());
let garden: TestGarden;
let names: NameServer;
const blobs = new TestBlobs();
const system: Buildpack[] = [];

before(async () => {
  if (GARDEN_SKIP) return;
  const { startNameServer } = await import('../../support/staging.ts');
  garden = await startTestGarden('stg', '10.254.30.0/24');
  names = await startNameServer('169.254.1.1');
  for (const { name, file, sha256 } of await testBuildpacks())
    system.push(blobs.buildpack(name, sha256, { file }, sha256));
});

after(async () => {
  await names?.stop();
  await garden?.stop();
});

test('a Node.js app is detected, staged, and serves; the second staging needs no network (BPK-01, BPK-02)', {
  skip: REGISTRY_SKIP,
}, async (t) => {
  const source = await packageOf(`${EXAMPLES}/hello-node`);
  const cold = await stage(garden, blobs, { source, buildpacks: system, egressRules: PUBLIC_NETWORKS });
  assert.equal(cold.failureReason, '', cold.lines.join('\n'));
  assert.deepEqual(cold.result?.process_types, { web: 'node server.js' });
  assert.equal(cold.result?.lifecycle_metadata.buildpacks[0]?.name, 'nodejs_buildpack');
  const first = await stage(garden, blobs, { source, buildpacks: system, egressRules: PUBLIC_NETWORKS });
  const warm = await stage(garden, blobs, { source, buildpacks: system, cache: cold.cache! });
  assert.equal(warm.failureReason, '', warm.lines.join('\n'));
  t.diagnostic(
    `first with layers ${Math.round(cold.milliseconds)} ms, without cache ${Math.round(first.milliseconds)} ms, with cache ${Math.round(warm.milliseconds)} ms`,
  );

  const container = await launch(garden, warm.droplet!, 'node server.js');
  const answer = (await (await answerOf(container, '/')).json()) as { node: string };
  assert.equal(answer.node, 'v26.10.0');
  const [app] = await container.processes();
  await app!.signal('SIGTERM');
  assert.equal((await app!.exit).exitCode, 0, 'the stop signal reaches the app itself');
});

test('a static site is staged without network and serves its root alone', { skip: GARDEN_SKIP }, async (t) => {
  const source = await packageOf(`${EXAMPLES}/static-site`);
  const staged = await stage(garden, blobs, { source, buildpacks: system });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  t.diagnostic(`${Math.round(staged.milliseconds)} ms`);
  assert.equal(staged.result?.lifecycle_metadata.buildpacks[0]?.name, 'staticfile_buildpack');
  const container = await launch(garden, staged.droplet!, staged.result!.process_types['web']!);
  const page = await answerOf(container, '/');
  assert.match(await page.text(), /Hello from Cupola/);
  assert.equal((await answerOf(container, '/style.css')).headers.get('content-type'), 'text/css');
  assert.equal((await answerOf(container, '/../Staticfile')).status, 404);
  assert.equal((await answerOf(container, '/.profile')).status, 404);
});

test('a binary is staged where its buildpack is asked for, and is not detected', { skip: GARDEN_SKIP }, async () => {
  const source = await packageOf(`${EXAMPLES}/hello-binary`);
  const asked = { ...system.find(({ name }) => name === 'binary_buildpack')!, skipDetect: true };
  const staged = await stage(garden, blobs, { source, buildpacks: [asked] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  const container = await launch(garden, staged.droplet!, './web');
  assert.match(await (await answerOf(container, '/')).text(), /Hello from a binary/);
  const unasked = await stage(garden, blobs, { source, buildpacks: system });
  assert.match(unasked.failureReason, /^NoAppDetectedError: /);
});
