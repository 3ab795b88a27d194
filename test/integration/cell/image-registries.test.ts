import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { signal, TestImages } from '../../support/images.ts';
import { busyboxLayer, hostileRegistry, READER, REGISTRY_SKIP, startRegistry } from '../../support/registry.ts';

describe('the registries a cell asks for images', { skip: GARDEN_SKIP || REGISTRY_SKIP }, () => {
  const i = new TestImages();

  before(() => i.start('qdab', '10.231.61.0/24', 22_204));
  after(() => i.stop());

  test('SECURITY 28: no registry leads a cell to an internal address, by name, by redirect or by its token service', async () => {
    const reached: string[] = [];
    const target = await hostileRegistry((path) => {
      reached.push(path);
      return Buffer.from('{}');
    });
    const { port } = new URL(`http://${target.host}`);
    const internal = { code: 'registry_forbidden', message: /is at an internal address/ };
    const ports = [target.host, `localhost:${port}`, `[::1]:${port}`, `[::ffff:7f00:1]:${port}`, `2130706433:${port}`];
    for (const name of [...ports, '169.254.169.254', '10.255.255.53', `${hostname()}:${port}`]) {
      await assert.rejects(i.storeFor([]).describe(i.image(`${name}/team/app:1`), signal()), internal, name);
    }
    const mapped = i.image(`[::ffff:127.0.0.1]:${port}/team/app:1`);
    await assert.rejects(i.storeFor([]).describe(mapped, signal()), { code: 'image_invalid' });
    const plain = { code: 'registry_forbidden', message: /is not spoken to without TLS/ };
    const ways = [
      [`http://${target.host}`, plain],
      [`https://${target.host}`, internal],
      [`https://localhost:${port}`, internal],
    ] as const;
    for (const [way, refusal] of ways) {
      const location = `${way}/v2/stolen`;
      const redirecting = await hostileRegistry(() => ({ status: 307, headers: { location } }));
      const challenge = `Bearer realm="${way}/token",service="x"`;
      const asking = await hostileRegistry(() => ({ status: 401, headers: { 'www-authenticate': challenge } }));
      for (const { host } of [redirecting, asking]) {
        await assert.rejects(i.storeFor([host]).describe(i.image(`${host}/team/app:1`), signal()), refusal, way);
      }
      for (const server of [redirecting, asking]) await server.stop();
    }
    assert.deepEqual(reached, []);
    await target.stop();
  });

  test('SECURITY 28: a password goes to no other host, and into no error', async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = await hostileRegistry((_, headers) => {
      seen.push(headers['authorization']);
      return null;
    });
    const redirecting = await hostileRegistry((_, headers) =>
      headers['authorization']
        ? { status: 302, headers: { location: `http://${elsewhere.host}/blob` } }
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
    );
    const credentials = { username: 'me', password: 'planted-password-71' };
    const refused = async (host: string, code: string) => {
      const of = i.storeFor([host, elsewhere.host]);
      const described = of.describe(i.image(`${host}/team/app:1`, credentials), signal());
      await assert.rejects(described, (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.doesNotMatch(inspect(error, { depth: 10 }), /planted-password|cGxhbnRlZ|bWU6cGxhbn/);
        return true;
      });
    };
    await refused(redirecting.host, 'image_not_found');
    assert.deepEqual(seen, [undefined], 'what another host is sent');
    await redirecting.stop();
    await elsewhere.stop();
    // Whoever was told the password answers as they like.
    const answers = { 401: 'image_unauthorized', 404: 'image_not_found', 500: 'registry_failed' };
    for (const [status, code] of Object.entries(answers)) {
      const told: (string | undefined)[] = [];
      const server = await hostileRegistry((_, { authorization }) => {
        told.push(authorization);
        const challenge = { 'www-authenticate': 'Basic realm="x"' };
        return authorization ? { status: Number(status), headers: {} } : { status: 401, headers: challenge };
      });
      await refused(server.host, code);
      assert.deepEqual(told, [undefined, `Basic ${Buffer.from('me:planted-password-71').toString('base64')}`]);
      await server.stop();
    }
  });

  for (const [auth, port] of [
    ['basic', 22_202],
    ['token', 22_203],
  ] as const) {
    test(`a private registry with ${auth} authentication gives to who has the password, and says so to who has not`, async () => {
      const locked = await startRegistry(port, auth);
      try {
        const pushed = await locked.push('team/secret', '1', { layers: [busyboxLayer([{ name: auth }])] });
        const of = i.storeFor([locked.host, ...locked.tokenHosts]);
        const { username, password } = READER;
        for (const wrong of [
          { username, password: 'not the password' },
          { username: '', password: '' },
        ]) {
          await assert.rejects(i.bring(pushed, of, wrong), (error: Error & { code?: string }) => {
            assert.equal(error.code, 'image_unauthorized');
            assert.match(error.message, /user name and password are missing or wrong/);
            return true;
          });
        }
        const prepared = await i.bring(pushed, of, { username, password });
        assert.ok(prepared.fetchedBytes > 0);
        assert.equal((await i.inside(prepared, `ls /${auth}`)).output, `/${auth}\n`);
        await assert.rejects(i.bring({ reference: `${locked.host}/team/none:1` }, of, { username, password }), {
          code: /image_not_found|image_unauthorized/,
        });
        const kept = readdirSync(i.directory).flatMap((name) =>
          readdirSync(`${i.directory}/${name}`).map((file) => readFileSync(`${i.directory}/${name}/${file}`, 'utf8')),
        );
        assert.ok(kept.length > 0 && !kept.join().includes(password));
      } finally {
        await locked.stop();
      }
    });
  }

  test('a registry that is not there, and one whose answers are no registry’s, are told in plain words', async () => {
    const nonsense = await hostileRegistry(() => Buffer.from('<html>'));
    const broken = await hostileRegistry(() => ({ status: 500, headers: {} }));
    const loop = await hostileRegistry((path) => ({ status: 302, headers: { location: path } }));
    const of = i.storeFor([nonsense.host, broken.host, loop.host, '127.0.0.1:1']);
    const cases: [string, RegExp][] = [
      ['127.0.0.1:1', /could not be reached: it refuses connections/],
      [nonsense.host, /manifest of the image is not valid/],
      [broken.host, /answered with status 500/],
      [loop.host, /redirects without end/],
    ];
    for (const [host, words] of cases)
      await assert.rejects(of.describe(i.image(`${host}/app:1`), signal()), words, host);
    for (const server of [nonsense, broken, loop]) await server.stop();
  });
});
