import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { ComponentCertificates } from '../../../src/platform/certificates.ts';
import { Health } from '../../../src/platform/health.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { testSecrets } from '../../support/component-parts.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync('/run/health-test-');
// Nobody listens at its public port.
const layout = { ...layoutOf(testSettings({ httpsPort: 1 })), run: directory };
let certificates: ComponentCertificates;
let router: Server | null = null;
before(async () => {
  const secrets = await testSecrets();
  certificates = new ComponentCertificates(() => secrets, join(directory, 'certificates.json'));
  mkdirSync(join(directory, 'router/sockets'), { recursive: true });
});
afterEach(() => {
  router?.closeAllConnections();
  router?.close();
  router = null;
});
after(() => rmSync(directory, { recursive: true }));

/** A router whose socket for the supervisor answers so. */
async function answers(answer: (response: ServerResponse, url: string) => void): Promise<Server> {
  const server = createServer(await certificates.front('cupola.localhost'), (request, response) =>
    answer(response, `${request.headers.host}${request.url}`),
  );
  router = server;
  await new Promise<void>((resolve) => server.listen(join(directory, 'router/sockets/health.sock'), resolve));
  return server;
}

test('the API is asked at the socket that the router has for the supervisor', async () => {
  const asked: string[] = [];
  await answers((response, url) => {
    asked.push(url);
    response.end('{}');
  });
  assert.equal(await new Health(layout, certificates).apiAnswers(), true);
  assert.deepEqual(asked, ['api.cupola.localhost/v3/info']);
});

test('an API that refuses is not well, and neither is a router that is away', async () => {
  await answers((response) => response.writeHead(503).end());
  assert.equal(await new Health(layout, certificates).apiAnswers(), false);
  router?.close();
  assert.equal(await new Health(layout, certificates).apiAnswers(), false);
});

test('SECURITY 25: an answer without an end keeps the supervisor from nothing', { timeout: 30_000 }, async () => {
  const gone = Promise.withResolvers<void>();
  await answers((response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x')));
    };
    response.on('drain', more).on('close', () => gone.resolve());
    more();
  });
  assert.equal(await new Health(layout, certificates).apiAnswers(), true);
  await gone.promise;
});
