import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { EnvelopeSender } from '../../../src/contracts/envelope-sender.ts';
import { CellPresenceSchema, OwnerSchema } from '../../../src/contracts/gen/diego_pb.js';
import { AccessLines } from '../../../src/ssh-proxy/access-lines.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { silentLog } from '../../support/postgresql.ts';

const names = { appName: 'orders', spaceName: 'dev', organizationName: 'shop' };
const guids = { appGuid: 'app', spaceGuid: 'space', organizationGuid: 'organization', processGuid: 'process' };
const grant = {
  instanceGuid: 'instance',
  cell: create(CellPresenceSchema, { cellId: 'cell-0' }),
  owner: create(OwnerSchema, { ...names, ...guids, processType: 'web' }),
  userGuid: 'a-user',
  index: 3,
};

test('who came and went stands in the log of the app with its tags, also where the log cache was away', async () => {
  const { control, ingress } = fakeControl();
  const envelopes = new EnvelopeSender(ingress, silentLog);
  control.away = true;
  const lines = new AccessLines(envelopes, grant, { address: '2001:db8::1', port: 4022 });
  lines.opened();
  lines.ended();
  await new Promise((resolve) => setTimeout(resolve, 200));
  control.away = false;
  await eventually('both lines', () => control.lines('SSH').length === 2);
  assert.deepEqual(control.lines(), [
    'Successful remote access by [2001:db8::1]:4022',
    'Remote access ended for [2001:db8::1]:4022',
  ]);
  const { sourceId, instanceId, tags } = control.envelopes[0]!;
  assert.deepEqual([sourceId, instanceId], ['app', '3']);
  assert.deepEqual(tags, {
    ...{ app_id: 'app', app_name: 'orders', space_id: 'space', space_name: 'dev' },
    ...{ organization_id: 'organization', organization_name: 'shop', process_id: 'process', process_type: 'web' },
    ...{ source_type: 'SSH', instance_id: '3', process_instance_id: 'instance' },
    ...{ origin: 'ssh-proxy', job: 'ssh-proxy', index: '0' },
  });
  await envelopes.close();
});
