import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { OwnerSchema } from '../../../src/contracts/gen/diego_pb.js';
import { accessLogEnvelope, formatAccessLog, parseAccessLog } from '../../../src/router/access-log.ts';

const owner = create(OwnerSchema, { appGuid: 'app-1', appName: 'web', spaceName: 'dev', processType: 'web' });
const instance = { owner, index: 2 };
const line = (uri: string, agent: string) =>
  `v1 1795323163780123 12 1 2 3 4 200 149 344 203.0.113.9:55760 inst-a 10.0.0.1:443 req-1 - GET HTTP/1.1 https a.example.org ${uri} - ${agent} 198.51.100.7`;

test('LOG-01: a line of HAProxy becomes the line Cloud Foundry developers know', () => {
  const entry = parseAccessLog(line('%2Fx%3Fy=1', 'curl%2F8'))!;
  assert.equal(
    formatAccessLog(entry, instance),
    'a.example.org - [2026-11-22T04:52:43.780000000Z] "GET /x?y=1 HTTP/1.1" 200 149 344 "-" "curl/8" "203.0.113.9:55760" ' +
      '"10.0.0.1:443" x_forwarded_for:"198.51.100.7, 203.0.113.9" x_forwarded_proto:"https" vcap_request_id:"req-1" ' +
      'response_time:0.012000 gorouter_time:0.003000 app_id:"app-1" app_index:"2" instance_id:"inst-a" x_cf_routererror:"-"',
  );
});

test('its envelope is the app\u2019s, from the router, with the owner\u2019s tags', () => {
  const envelope = accessLogEnvelope(parseAccessLog(line('%2F', '-'))!, instance, '0');
  assert.equal(envelope.sourceId, 'app-1');
  assert.equal(envelope.instanceId, '0');
  assert.equal(envelope.timestampNs, 1795323163780123000n);
  assert.deepEqual(envelope.tags, {
    source_type: 'RTR',
    instance_id: '2',
    process_instance_id: 'inst-a',
    app_id: 'app-1',
    app_name: 'web',
    space_id: '',
    space_name: 'dev',
    organization_id: '',
    organization_name: '',
    process_id: '',
    process_type: 'web',
    origin: 'gorouter',
    job: 'router',
    index: '0',
  });
});

test('what a client sends cannot forge a field or a line', () => {
  const entry = parseAccessLog(line('%2F%22%20app_id%3A%22other%0A', '%FF%zz%0d%0aforged'))!;
  const text = formatAccessLog(entry, instance);
  assert.equal(text.includes('\n'), false);
  assert.ok(text.includes('/\\" app_id:\\"other\\n'));
  assert.ok(text.includes('\uFFFD%zz\\r\\nforged'));
});

test('a line cut short keeps what came before the cut; noise is no entry', () => {
  const whole = line('%2F', 'agent');
  const entry = parseAccessLog(whole.slice(0, whole.indexOf(' a.example.org')))!;
  assert.equal(entry.status, 200);
  assert.equal(entry.userAgent, '');
  assert.equal(parseAccessLog('v1 broken'), null);
  assert.equal(parseAccessLog(''), null);
});
