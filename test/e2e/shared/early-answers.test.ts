import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { endEarly, HTTP2_ENDINGS } from '../../support/early-endings.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { ROOT } from '../../support/platform.ts';
import type { RawHttp2 } from '../../support/raw-http2.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
/** What the app answers before it has read the body. */
const STATUSES = ['413', '401', '204', '304', 'chunked'];
/** What the platform's own servers will not read: no token, no such thing, not their type. */
const REFUSED: readonly (readonly [host: string, path: string])[] = [
  ['api', '/v3/packages/4b6ff5c8-1f0a-4c0f-a4f5-0c7b8b7a4a10/upload'],
  ['api', '/v3/apps'],
  ['uaa', '/oauth/token'],
  ['log-cache', '/api/v1/read/4b6ff5c8-1f0a-4c0f-a4f5-0c7b8b7a4a10'],
];

/* The same clients as in the router's test, here against what really runs behind it: Node.js, an app's and the platform's own. */
describe('clients that end a request which was answered early', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'early');
  /** Some of the clients stay, while others come. */
  const opened: RawHttp2[] = [];
  let token = '';
  let org = '';

  before(async () => {
    await platform.enter();
    await platform.cf(CF, ['push', 'early', '-p', join(ROOT, 'test/e2e/apps/early-answers'), '-m', '128M']);
    token = (await platform.cf(CF, ['oauth-token'])).trim().split(' ')[1]!;
    org = (await platform.cf(CF, ['org', platform.org, '--guid'])).trim();
  });
  after(async () => {
    for (const connection of opened) connection.close();
    await platform.leave();
  });

  async function attack(name: string, path: string, ending: string): Promise<number | null> {
    const host = `${name}.${platform.domain}`;
    const to = { host: '127.0.0.1', port: platform.httpsPort, servername: host, ca: platform.credentials.ca_cert };
    // For its own hosts the platform waits for the body in the router: only a long one is answered early.
    const waitMs = name === 'early' ? 10_000 : 100;
    const connection = await endEarly(to, host, path, HTTP2_ENDINGS[ending]!, { waitMs });
    opened.push(connection);
    return connection.stream(1).status;
  }

  async function appsClients(what: string): Promise<void> {
    const asked = [0, 1, 2].map(async (index) => {
      const { body } = await platform.request('early', { path: `/victim/${index}`, timeoutMs: 3_000 });
      assert.equal(body, `GET /victim/${index} 127.0.0.1`, `${what}: a client beside it gets its own answer`);
    });
    await Promise.all(asked);
  }

  async function platformsClients(what: string): Promise<void> {
    const asks = [
      ['api', `/v3/organizations/${org}`, /^\{"guid":"[\w-]+",.*"name":"early"/],
      ['uaa', '/.well-known/openid-configuration', /^\{"issuer":/],
      ['log-cache', '/api/v1/info', /^\{"version":/],
    ] as const;
    const asked = asks.map(async ([name, path, own]) => {
      const { status, body } = await platform.request(name, { path, token, timeoutMs: 3_000 });
      assert.equal(status, 200, `${what}: ${name} says ${body}`);
      assert.match(body, own, `${what}: a client beside it gets its own answer`);
    });
    await Promise.all(asked);
  }

  for (const [ending, { last, leaves }] of Object.entries(HTTP2_ENDINGS)) {
    /** Then it is the router that refuses it, before any app hears of it. */
    const endsAtOnce = last === undefined && leaves === undefined;
    test(`SECURITY 1: nobody beside them notices: ${ending}`, async () => {
      for (const status of STATUSES) {
        const got = await attack('early', `/early/${status}`, ending);
        if (!endsAtOnce)
          assert.equal(got, status === 'chunked' ? 400 : Number(status), 'the app answers before the end');
        await appsClients(`early/${status}`);
      }
      for (const [name, path] of REFUSED) {
        const got = await attack(name, path, ending);
        assert.ok(got === null || got === 100 || (got >= 400 && got < 500), `${name}${path}: ${got}`);
        await platformsClients(`${name}${path}`);
      }
    });
  }
});
