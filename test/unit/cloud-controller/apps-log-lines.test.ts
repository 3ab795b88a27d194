import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logLine } from '../../../src/cloud-controller/apps/log-lines.ts';
import type { App } from '../../../src/cloud-controller/apps/store.ts';
import { EnvelopeSender } from '../../../src/contracts/envelope-sender.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { silentLog } from '../../support/postgresql.ts';

const names = { name: 'orders', space_name: 'dev', organization_name: 'shop' };
const guids = { guid: 'app', space_guid: 'space', organization_guid: 'organization' };

test('LOG-01: API lines are the app’s, wait while the log cache is away, and arrive in order', async () => {
  const { control, ingress } = fakeControl();
  const envelopes = new EnvelopeSender(ingress, silentLog);
  control.away = true;
  const app = { ...names, ...guids } as App;
  const clock = () => new Date(1_795_000_000_123);
  for (const at of [1, 2, 3]) logLine({ envelopes, clock }, app, `Updated ${at}`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  control.away = false;
  await eventually('they arrive', () => control.lines('API').length === 3);
  assert.deepEqual(control.lines('API'), ['Updated 1', 'Updated 2', 'Updated 3']);
  const { sourceId, instanceId, timestampNs, tags } = control.envelopes[0]!;
  assert.deepEqual([sourceId, instanceId, timestampNs], ['app', '0', 1_795_000_000_123_000_000n]);
  assert.deepEqual(
    [tags['app_id'], tags['app_name'], tags['space_id'], tags['space_name']],
    ['app', 'orders', 'space', 'dev'],
  );
  assert.deepEqual([tags['organization_id'], tags['organization_name']], ['organization', 'shop']);
  await envelopes.close();
});
