import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { answerOf, EXAMPLES, PUBLIC_NETWORKS, packageOf, registrySkip } from '../../support/staging.ts';
import { SystemStaging } from '../../support/system-staging.ts';

/* Here alone nothing names a buildpack unless it must. */

const REGISTRY_SKIP = GARDEN_SKIP || (await registrySkip());
let staging: SystemStaging;

before(async () => {
  if (!GARDEN_SKIP) staging = await SystemStaging.start('stg', '10.254.30.0/24', { names: true });
});
after(() => staging?.stop());

test('a Node.js app is detected, staged, and serves; the second staging needs no network (BPK-01, BPK-02)', {
  skip: REGISTRY_SKIP,
}, async (t) => {
  const source = await packageOf(`${EXAMPLES}/hello-node`);
  const cold = await staging.detect(source, { egressRules: PUBLIC_NETWORKS });
  assert.equal(cold.failureReason, '', cold.said);
  assert.deepEqual(cold.result?.process_types, { web: 'node server.js' });
  assert.equal(cold.result?.lifecycle_metadata.buildpacks[0]?.name, 'nodejs_buildpack');
  const warm = await staging.detect(source, { cache: cold.cache! });
  assert.equal(warm.failureReason, '', warm.said);
  t.diagnostic(`first ${Math.round(cold.milliseconds)} ms, with cache ${Math.round(warm.milliseconds)} ms`);

  const container = await staging.launch(warm);
  const answer = (await (await answerOf(container, '/')).json()) as { node: string };
  assert.equal(answer.node, 'v26.10.0');
  const [app] = await container.processes();
  await app!.signal('SIGTERM');
  assert.equal((await app!.exit).exitCode, 0, 'the stop signal reaches the app itself');
});

test('a static site is staged without network and serves its root alone', { skip: GARDEN_SKIP }, async (t) => {
  const staged = await staging.detect(await packageOf(`${EXAMPLES}/static-site`));
  assert.equal(staged.failureReason, '', staged.said);
  t.diagnostic(`${Math.round(staged.milliseconds)} ms`);
  assert.equal(staged.result?.lifecycle_metadata.buildpacks[0]?.name, 'staticfile_buildpack');
  const container = await staging.launch(staged);
  const page = await answerOf(container, '/');
  assert.match(await page.text(), /Hello from Cupola/);
  assert.equal((await answerOf(container, '/style.css')).headers.get('content-type'), 'text/css');
  assert.equal((await answerOf(container, '/../Staticfile')).status, 404);
  assert.equal((await answerOf(container, '/.profile')).status, 404);
});

test('a binary is staged where its buildpack is asked for, and is not detected', { skip: GARDEN_SKIP }, async () => {
  const source = await packageOf(`${EXAMPLES}/hello-binary`);
  const staged = await staging.stage('binary', source);
  assert.match(await staging.page(staged, './web'), /Hello from a binary/);
  const unasked = await staging.detect(source);
  assert.match(unasked.failureReason, /^NoAppDetectedError: /);
});
