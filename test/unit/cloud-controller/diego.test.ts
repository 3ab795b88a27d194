import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStagingResult, stagingError } from '../../../src/cloud-controller/builds/result.ts';
import { runningEnvironment, stagingEnvironment } from '../../../src/cloud-controller/diego/environment.ts';
import { desiredLrp, stagingTask } from '../../../src/cloud-controller/diego/recipe.ts';
import { lrpGuid, processGuidOf } from '../../../src/cloud-controller/processes/lrp-guid.ts';

const app = {
  appGuid: 'app-guid',
  appName: 'shop',
  spaceGuid: 'space-guid',
  spaceName: 'dev',
  organizationGuid: 'org-guid',
  organizationName: 'acme',
};
const input = {
  app,
  apiUrl: 'https://api.example.org',
  uris: ['shop.example.org'],
  group: { SHARED: 'group', BOTH: 'group' },
  variables: { BOTH: 'app', MEMORY_LIMIT: 'mine' },
  services: {},
  memoryMb: 64,
  diskMb: 128,
  fileDescriptors: 16384,
};

test('an app sees the environment a Cloud Foundry app sees', () => {
  const env = runningEnvironment({ ...input, processGuid: 'process-guid', processType: 'web', version: 'v1' });
  assert.equal(env['SHARED'], 'group');
  assert.equal(env['BOTH'], 'app', "the app's own variables come over the group's");
  assert.equal(env['MEMORY_LIMIT'], '64m', 'what the platform sets cannot be overridden');
  const application = JSON.parse(env['VCAP_APPLICATION']!);
  assert.deepEqual(application.limits, { fds: 16384, mem: 64, disk: 128 });
  assert.deepEqual(
    [application.application_id, application.process_type, application.space_name, application.organization_name],
    ['app-guid', 'web', 'dev', 'acme'],
  );
  assert.equal(stagingEnvironment({ ...input, stack: 'debian12' })['CF_STACK'], 'debian12');
});

test('a process becomes a desired LRP of its version', () => {
  const version = '11111111-1111-4111-8111-111111111111';
  const processGuid = '22222222-2222-4222-8222-222222222222';
  const lrp = desiredLrp({
    app,
    processGuid,
    processType: 'web',
    version,
    instances: 2,
    memoryMb: 64,
    diskMb: 128,
    logRateLimit: -1,
    command: 'run',
    stack: 'debian12',
    placementTags: [],
    environment: { A: '1' },
    healthCheck: { type: 'http', endpoint: null, timeout: 90, invocationTimeout: null, interval: null },
    readinessCheck: { type: 'http', endpoint: '/ready', invocationTimeout: null, interval: 5 },
    sidecars: [{ name: 'proxy', command: './proxy', memoryMb: 16 }],
    ports: [8080],
    routes: [{ guid: 'r', host: 'shop.example.org', path: '', port: 8080, protocol: 'http1' }],
    egressRules: [{ protocol: 'all', destination: '0.0.0.0/0', ports: '', type: 0, code: 0, log: false }],
    content: { droplet: { url: 'https://blobs/d', sha256: 'f' } },
    annotation: 'x',
  });
  assert.equal(lrp.processGuid, `${processGuid}-${version}`);
  assert.equal(processGuidOf(lrpGuid(processGuid, version)), processGuid);
  assert.deepEqual([lrp.healthCheck?.httpEndpoint, lrp.healthCheck?.timeoutSeconds], ['/', 90]);
  const readiness = lrp.readinessHealthCheck;
  assert.deepEqual([readiness?.type, readiness?.httpEndpoint, readiness?.intervalSeconds], ['http', '/ready', 5]);
  assert.deepEqual(
    lrp.sidecars.map(({ name, command, memoryMb }) => [name, command, memoryMb]),
    [['proxy', './proxy', 16]],
  );
  assert.deepEqual(
    [lrp.owner?.appGuid, lrp.owner?.processType, lrp.logRateLimitBytesPerSecond],
    ['app-guid', 'web', -1],
  );
});

test('a build becomes a staging task', () => {
  const task = stagingTask({
    app,
    buildGuid: 'build',
    stack: 'debian12',
    memoryMb: 1024,
    diskMb: 2048,
    timeoutSeconds: 900,
    placementTags: ['secure'],
    environment: { A: '1' },
    egressRules: [],
    package: { url: 'https://blobs/p', sha256: 'a' },
    buildpacks: [
      { name: 'nodejs_buildpack', key: 'k', blob: { url: 'https://blobs/b', sha256: 'b' }, skipDetect: true },
      { name: 'https://example.org/x.zip', key: 'https://example.org/x.zip', blob: null, skipDetect: true },
    ],
    uploadDropletUrl: 'https://blobs/up',
    cache: null,
    uploadCacheUrl: 'https://blobs/cache',
  });
  assert.deepEqual(task.placementTags, ['secure']);
  assert.equal(task.domain, 'cf-app-staging');
  assert.equal(task.work.case, 'staging');
  assert.ok(task.work.case === 'staging');
  assert.equal(task.work.value.buildpacks[0]?.blob?.sha256, 'b');
  assert.equal(task.work.value.buildpacks[1]?.blob, undefined, 'the container fetches it by itself');
  assert.equal(task.work.value.cache?.url, '');
});

test('a staging result is read, and anything else is not believed', () => {
  const good = {
    lifecycle_type: 'buildpack',
    lifecycle_metadata: { detected_buildpack: 'node', buildpacks: [{ key: 'k', name: 'n', version: '1' }] },
    process_types: { web: 'npm start' },
    execution_metadata: '',
    droplet: { sha256: 'a'.repeat(64), bytes: 10 },
    cache: null,
  };
  assert.deepEqual(readStagingResult(JSON.stringify(good))?.processTypes, { web: 'npm start' });
  for (const bad of ['', '[]', 'null', '{}', JSON.stringify({ ...good, droplet: { sha256: '../x', bytes: 1 } })]) {
    assert.equal(readStagingResult(bad), null);
  }
  assert.equal(readStagingResult(JSON.stringify({ ...good, process_types: { web: 5 } })), null);
});

test('failures of staging carry the codes clients know', () => {
  assert.deepEqual(stagingError('NoAppDetectedError: none fits'), {
    code: 'NoAppDetectedError',
    description: 'An app was not successfully detected by any available buildpack',
  });
  assert.equal(stagingError('constructor: x').code, 'StagingError');
  assert.equal(stagingError('').code, 'StagingError');
});
