import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';
import { ask } from '../../support/http-client.ts';
import { FRAME, frame } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * A route may ask for HTTP/2 to its app. HAProxy 2.6.12 ended at an app that sends DATA before its HEADERS; by default nothing an app sends is
 * read as HTTP/2.
 */
let path: RequestPath;
/** What each connection to the app began with. */
const begins: string[] = [];
const END_STREAM = 1;
/** Answers a preface with a body that has no headers, anything else as HTTP/1.1. */
const app = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (data) => {
    begins.push(data.toString('latin1').slice(0, 14));
    if (!data.toString('latin1').startsWith('PRI ')) {
      return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhttp');
    }
    socket.write(frame(FRAME.settings, 0, 0, Buffer.alloc(0)));
    socket.write(frame(FRAME.data, END_STREAM, 1, Buffer.from('x')));
  });
});

before(async () => {
  path = await startRequestPath({ firstPort: 21410, prefix: 'router-http2-apps' });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  await path.registerInstance('inst-app', (app.address() as AddressInfo).port);
  await path.setRoutes({
    host: 'app.cupola.test',
    app: 'grpc',
    protocol: 'http2',
    instances: [{ guid: 'inst-app', index: 0 }],
  });
});
after(async () => {
  app.close();
  await path.close();
});

const asks = () => ask({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });

test('SECURITY 6: no app is spoken to in HTTP/2 unless the operator wants it, so that none can end the router', async () => {
  for (let count = 0; count < 5; count += 1) assert.equal((await asks()).body, 'http');
  assert.deepEqual([...new Set(begins)], ['GET / HTTP/1.1']);
  const running = await new HaproxySocket(path.settings.sockets.driver).process();
  assert.ok(running.startsWith(`${path.engines.router.pid}/`), 'the process is the one of before');
  assert.deepEqual(path.router.status().servedAsHttp1, ['app.cupola.test of app grpc (grpc-guid)']);
});

test('SECURITY 6: neither is one whose route is found in the files of a router that spoke it', async () => {
  path.state.bbsAnswers = false;
  await path.engines.router.kill('SIGKILL');
  let spoken = 0;
  for (const name of ['routes.json', 'routes.changes']) {
    const file = `${path.settings.stateDirectory}/${name}`;
    const text = await readFile(file, 'utf8').catch(() => '');
    const stored = text.replaceAll('"http2":false', '"http2":true');
    if (stored === text) continue;
    await writeFile(file, stored);
    spoken += 1;
  }
  assert.ok(spoken > 0);
  begins.length = 0;
  await path.restartRouterProxy();
  assert.equal((await asks()).body, 'http');
  assert.deepEqual(begins, ['GET / HTTP/1.1']);
});

test('SECURITY 6: switched on, an app whose body comes before its headers ends its own request and not the router', async () => {
  const on = await startRequestPath({
    firstPort: 21420,
    prefix: 'router-http2-on',
    changeSettings: (settings) => ({ ...settings, http2Apps: true }),
  });
  try {
    await on.registerInstance('inst-app', (app.address() as AddressInfo).port);
    await on.setRoutes({
      host: 'app.cupola.test',
      app: 'grpc',
      protocol: 'http2',
      instances: [{ guid: 'inst-app', index: 0 }],
    });
    begins.length = 0;
    for (let count = 0; count < 5; count += 1)
      assert.equal(
        (await ask({ host: 'app.cupola.test', port: on.httpsPort, ca: on.pki.routerRoot.cert })).status,
        502,
      );
    assert.ok(begins.some((begin) => begin.startsWith('PRI * HTTP/2.0')));
    const running = await new HaproxySocket(on.settings.sockets.driver).process();
    assert.ok(running.startsWith(`${on.engines.router.pid}/`), 'the process is the one of before');
  } finally {
    await on.close();
  }
});
