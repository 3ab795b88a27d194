import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { OwnerSchema } from '../../../src/contracts/gen/diego_pb.js';
import { logEnvelope, originOf, renameOrigin } from '../../../src/contracts/log-envelopes.ts';

const owner = create(OwnerSchema, {
  appGuid: 'app',
  appName: 'orders',
  spaceGuid: 'space',
  spaceName: 'dev',
  organizationGuid: 'organization',
  organizationName: 'shop',
  processGuid: 'process',
  processType: 'web',
});
const OWNER_TAGS = {
  app_id: 'app',
  app_name: 'orders',
  space_id: 'space',
  space_name: 'dev',
  organization_id: 'organization',
  organization_name: 'shop',
  process_id: 'process',
  process_type: 'web',
};
const CELL = { type: 'APP/PROC/WEB', origin: 'rep', job: 'cell', index: 'cell-1' } as const;
const ROUTER = { type: 'RTR', origin: 'gorouter', job: 'router', index: '0' } as const;
const API = { type: 'API', origin: 'cloud_controller', job: 'api', index: '0' } as const;

test('LOG-01: whoever writes a line, its owner stands beside it under the same names', () => {
  const instance = { index: 2, guid: 'instance' };
  const ofInstance = { ...OWNER_TAGS, instance_id: '2', process_instance_id: 'instance' };
  assert.deepEqual(originOf(owner, CELL, instance), {
    sourceId: 'app',
    instanceId: '2',
    tags: { ...ofInstance, source_type: 'APP/PROC/WEB', origin: 'rep', job: 'cell', index: 'cell-1' },
  });
  assert.deepEqual(originOf(owner, ROUTER, instance, '0'), {
    sourceId: 'app',
    instanceId: '0',
    tags: { ...ofInstance, source_type: 'RTR', origin: 'gorouter', job: 'router', index: '0' },
  });
  const { processGuid: _, processType: __, ...app } = owner;
  const unknown = { process_id: '', process_type: '' };
  assert.deepEqual(originOf(app, API, null), {
    sourceId: 'app',
    instanceId: '0',
    tags: { ...OWNER_TAGS, ...unknown, source_type: 'API', origin: 'cloud_controller', job: 'api', index: '0' },
  });
});

test('a line keeps the names it was written with', () => {
  const origin = originOf(owner, CELL, { index: 0, guid: 'instance' });
  const before = logEnvelope(origin, 1n, Buffer.from('before'));
  renameOrigin(origin, { appName: 'baskets', spaceName: 'dev', organizationName: 'shop' });
  const after = logEnvelope(origin, 2n, Buffer.from('after'), true);
  assert.equal(before.tags?.['app_name'], 'orders');
  assert.deepEqual(after, {
    sourceId: 'app',
    instanceId: '0',
    tags: { ...before.tags, app_name: 'baskets' },
    timestampNs: 2n,
    message: { case: 'log', value: { payload: Buffer.from('after'), stderr: true } },
  });
});
