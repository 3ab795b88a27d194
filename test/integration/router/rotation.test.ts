import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';
import { ask } from '../../support/http-client.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;

before(async () => {
  path = await startRequestPath({ firstPort: 21260, prefix: 'router-rotation' });
  for (const name of ['one', 'two']) {
    const { port } = await path.startBackend((_, response) => response.end(name));
    await path.registerInstance(`inst-${name}`, port);
  }
});
after(() => path.close());

const app = (...names: string[]) => ({
  host: 'app.cupola.test',
  instances: names.map((name, index) => ({ guid: `inst-${name}`, index })),
});

/** The serial number of the certificate clients see. */
function shown(): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(
    { host: '127.0.0.1', port: path.httpsPort, servername: 'app.cupola.test', ca: path.pki.routerRoot.cert },
    () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
      socket.destroy();
    },
  );
  socket.on('error', reject);
  return promise;
}

test('SECURITY 35: the router’s own certificates rotate again and again under load, without a failed request', async () => {
  const socket = new HaproxySocket(path.settings.sockets.admin);
  const { front, client } = path.settings.certificates;
  const failures: string[] = [];
  let running = true;
  let asked = 0;
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const loop = async (agent?: Agent): Promise<void> => {
    while (running) {
      asked += 1;
      const to = { host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert };
      const failure = await ask({ ...to, ...(agent ? { agent } : {}) }).then(
        ({ status, body }) => (status === 200 ? null : `${status} ${body}`),
        (cause: unknown) => String(cause),
      );
      if (failure !== null) failures.push(failure);
    }
  };
  await path.setRoutes(app('one'));
  const process = await socket.process();
  const clients = [loop(), loop(kept)];
  for (let round = 0; round < 12; round += 1) {
    const [nextFront, nextClient] = [await path.pki.renewFront(), await path.pki.component('router')];
    for (const [file, pair] of [
      [front, nextFront],
      [client, nextClient],
    ] as const) {
      writeFileSync(file, `${pair.cert}${pair.key}`);
      await socket.replaceCertificate(file, `${pair.cert}${pair.key}`);
    }
    assert.equal(await shown(), new X509Certificate(nextFront.cert).serialNumber, 'what clients are shown');
    // Servers that come after a rotation show the new certificate, those of before as well.
    await path.setRoutes(app(...(round % 2 === 0 ? ['one', 'two'] : ['two'])));
    const loaded = await socket.ask(`show ssl cert ${client}`);
    assert.ok(loaded.includes(new X509Certificate(nextClient.cert).fingerprint.replaceAll(':', '')));
  }
  running = false;
  await Promise.all(clients);
  kept.destroy();
  assert.deepEqual(failures, []);
  assert.ok(asked > 20, `only ${asked} requests`);
  assert.equal(await socket.process(), process, 'the very process did it');
});

test('a certificate whose key is another’s is refused, and the former stays in force', async () => {
  const socket = new HaproxySocket(path.settings.sockets.admin);
  const before = await shown();
  const [one, other] = [await path.pki.renewFront(), await path.pki.renewFront()];
  await assert.rejects(socket.replaceCertificate(path.settings.certificates.front, `${one.cert}${other.key}`), {
    code: 'haproxy_refused',
  });
  assert.equal(await shown(), before);
});
