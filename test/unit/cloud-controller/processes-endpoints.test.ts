import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkEndpoints } from '../../../src/cloud-controller/processes/endpoints.ts';

const port = { type: 'port' } as const;
const http = { type: 'http', data: { endpoint: '/ready' } } as const;

test('a check becomes one of the port while the other gets an endpoint', () => {
  checkEndpoints(
    { health_check: port, readiness_health_check: http },
    { health_check_type: 'port', readiness_type: 'http' },
  );
  checkEndpoints(
    { health_check: http, readiness_health_check: port },
    { health_check_type: 'http', readiness_type: 'port' },
  );
});

test('an endpoint of a check that is not HTTP is refused, and which of them is said', () => {
  const given = { data: { endpoint: '/ready' } };
  const types = { health_check_type: 'port', readiness_type: 'process' } as const;
  const refusal = (what: string) => ({ detail: `${what} type must be "http" to set a health check HTTP endpoint.` });
  assert.throws(() => checkEndpoints({ health_check: given }, types), refusal('Health check'));
  assert.throws(() => checkEndpoints({ readiness_health_check: given }, types), refusal('Readiness health check'));
});
