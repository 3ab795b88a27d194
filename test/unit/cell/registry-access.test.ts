import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import { RegistryAccess } from '../../../src/cell/images/registry-access.ts';

const servers: Server[] = [];
/** What each server was sent as `authorization`, by its port. */
const seen: { port: number; authorization: IncomingHttpHeaders['authorization'] }[] = [];
let registry = 0;
let elsewhere = 0;

async function serve(locationOf: (path: string) => string | null): Promise<number> {
  const server = createServer((request, response) => {
    seen.push({ port: portOf(server), authorization: request.headers.authorization });
    const location = locationOf(request.url ?? '');
    if (location === null) response.end('blob');
    else response.writeHead(307, { location }).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return portOf(server);
}

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(typeof address === 'object' && address);
  return address.port;
}

before(async () => {
  elsewhere = await serve((path) => (path === '/back' ? `http://127.0.0.1:${registry}/blob` : null));
  registry = await serve((path) => {
    if (path === '/moved') return '/blob';
    if (path === '/away') return `http://127.0.0.1:${elsewhere}/blob`;
    if (path === '/there-and-back') return `http://127.0.0.1:${elsewhere}/back`;
    return path === '/round' ? '/round' : null;
  });
});
after(() => {
  for (const server of servers) server.close();
});

async function get(path: string): Promise<(string | undefined)[]> {
  seen.length = 0;
  const access = new RegistryAccess({ allowed: [], insecure: ['127.0.0.1'] });
  const headers = { Authorization: 'Basic planted' };
  const response = await access.get(
    new URL(path, `http://127.0.0.1:${registry}`),
    headers,
    AbortSignal.timeout(10_000),
  );
  response.destroy();
  assert.equal(response.statusCode, 200);
  return seen.map(({ authorization }) => authorization);
}

test('SECURITY 28: a redirect takes the credentials of a registry to no other origin, and not back from there', async () => {
  assert.deepEqual(await get('/moved'), ['Basic planted', 'Basic planted']);
  assert.deepEqual(await get('/away'), ['Basic planted', undefined]);
  assert.deepEqual(await get('/there-and-back'), ['Basic planted', undefined, undefined]);
});

test('a registry that redirects without end is given up', async () => {
  await assert.rejects(get('/round'), { code: 'registry_failed' });
  assert.equal(seen.length, 6);
});
