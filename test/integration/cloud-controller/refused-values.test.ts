import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import type { Reply } from '../../support/cloud-controller.ts';

const on = (guid: string) => ({ data: { guid } });
const said = ({ status, body }: Reply): [number, string] => [status, body.errors?.[0]?.detail ?? ''];

describe('values that nothing behind the API could carry', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  it('a time that no calendar has is refused in a list as one of another form is', async () => {
    const sentence =
      "The query parameter is invalid: Created ats has an invalid timestamp format. Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'";
    for (const time of [
      '0000-01-01T00:00:00Z',
      '2026-02-30T00:00:00Z',
      '2026-12-31T24:00:00Z',
      '2026-01-01T23:59:60Z',
      '2026-13-01T00:00:00Z',
      '2026-01-01',
    ]) {
      for (const query of [`created_ats=${time}`, `created_ats[gt]=${time}`]) {
        assert.deepEqual(said(await f.developer.get(`/v3/apps?${query}`)), [400, sentence], query);
      }
    }
    for (const time of ['0001-01-01T00:00:00Z', '2024-02-29T23:59:59Z', '9999-12-31T23:59:59Z']) {
      assert.equal((await f.developer.get(`/v3/apps?created_ats[gt]=${time}`)).status, 200, time);
    }
  });

  it('a name holds nothing that moves a cursor, ends a line or turns text around', async () => {
    const { developer, cc, organization, space } = f;
    const app = await newApp(f, 'printable');
    const NAMED: Record<string, (name: string) => Promise<Reply>> = {
      organization: (name) => cc.admin.post('/v3/organizations', { name }),
      'renamed organization': (name) => cc.admin.patch(`/v3/organizations/${organization}`, { name }),
      space: (name) => cc.admin.post('/v3/spaces', { name, relationships: { organization: on(organization) } }),
      app: (name) => developer.post('/v3/apps', { name, relationships: { space: on(space) } }),
      'renamed app': (name) => developer.patch(`/v3/apps/${app}`, { name }),
      task: (name) => developer.post(`/v3/apps/${app}/tasks`, { name, command: 'true' }),
      sidecar: (name) => developer.post(`/v3/apps/${app}/sidecars`, { name, command: 'true', process_types: ['web'] }),
      'process type of a sidecar': (type) =>
        developer.post(`/v3/apps/${app}/sidecars`, { name: 'one', command: 'true', process_types: [type] }),
      'app of a manifest': (name) =>
        developer.request(
          'POST',
          `/v3/spaces/${space}/actions/apply_manifest`,
          JSON.stringify({ applications: [{ name }] }),
          { 'content-type': 'application/x-yaml' },
        ),
      'organization quota': (name) => cc.admin.post('/v3/organization_quotas', { name }),
      'space quota': (name) =>
        cc.admin.post('/v3/space_quotas', { name, relationships: { organization: on(organization) } }),
      'security group': (name) => cc.admin.post('/v3/security_groups', { name }),
      'isolation segment': (name) => cc.admin.post('/v3/isolation_segments', { name }),
    };
    const marks = ['\n', '\r', '\t', '\u001b[2J', '\u0007', '\u007f', '\u009b', '\u2028', '\u202e', '\u2066'];
    for (const [what, named] of Object.entries(NAMED)) {
      for (const mark of marks) {
        const [status, detail] = said(await named(`a${mark}b`));
        assert.deepEqual(
          [status, /must not contain escaped characters/.test(detail)],
          [422, true],
          `${what} ${detail}`,
        );
      }
    }
    for (const name of ['größer', '应用 1', '🚀 launch', 'a/b "c" \\ d', 'سلام']) {
      assert.equal((await NAMED['app']?.(name))?.status, 201, name);
    }
  });
});
