import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { ask, sendRaw } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import { type RequestPath, sshSocketBeside, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;
let app: RawBackend;
/** What the ssh-proxy got, a text for each connection. */
const received: { header: Buffer; text: string }[] = [];
const sshProxy = createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (data: Buffer) => {
    const length = 16 + data.readUInt16BE(14);
    const connection = { header: data.subarray(0, length), text: data.subarray(length).toString('latin1') };
    received.push(connection);
    socket.write('SSH-2.0-here\r\n');
    socket.on('data', (more: Buffer) => {
      connection.text += more.toString('latin1');
      socket.write(more);
    });
  });
});

before(async () => {
  path = await startRequestPath({
    firstPort: 21310,
    prefix: 'router-ssh',
    changeSettings: (settings) => ({ ...settings, ssh: { socket: sshSocketBeside(settings) } }),
  });
  const socket = path.settings.ssh?.socket ?? '';
  await new Promise<void>((resolve) => sshProxy.listen(socket, resolve));
  await chmod(socket, 0o660);
  app = await startRawBackend();
  await path.registerInstance('inst-app', app.port);
  await path.setRoutes({ host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] });
});
after(async () => {
  app.close();
  sshProxy.close();
  await path.close();
});

const open = async (localAddress = '127.0.0.1'): Promise<Socket> => {
  const socket = connect({ host: '127.0.0.1', port: path.httpsPort, localAddress });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
};
const next = (socket: Socket) =>
  new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString('latin1'))));

test('an SSH client on the HTTPS port reaches the ssh-proxy, which is told its address', async () => {
  const socket = await open('127.0.0.77');
  socket.write('SSH-2.0-client\r\n');
  assert.equal(await next(socket), 'SSH-2.0-here\r\n');
  socket.write('and on, in both directions');
  assert.equal(await next(socket), 'and on, in both directions');
  const { header, text } = received.at(-1)!;
  assert.equal(text, 'SSH-2.0-client\r\nand on, in both directions');
  assert.equal(header.subarray(0, 12).toString('hex'), '0d0a0d0a000d0a515549540a');
  assert.equal([...header.subarray(16, 20)].join('.'), '127.0.0.77');
  socket.destroy();
});

test('a banner that comes byte by byte is recognised', async () => {
  const socket = await open();
  socket.setNoDelay(true);
  for (const byte of 'SSH-2.0-slow\r\n') {
    socket.write(byte);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(await next(socket), 'SSH-2.0-here\r\n');
  socket.destroy();
});

test('TLS goes on as before, and the app is told the client\u2019s address', async () => {
  const ca = path.pki.routerRoot.cert;
  const to = { host: '127.0.0.1', port: path.httpsPort, servername: 'app.cupola.test', ca, localAddress: '127.0.0.78' };
  const answer = await sendRaw(to, 'GET /tls HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n');
  assert.match(answer, /GET \/tls HTTP\/1\.1$/);
  assert.deepEqual(valuesOf(app.requests.at(-1), 'x-forwarded-for'), ['127.0.0.78']);
  assert.deepEqual(valuesOf(app.requests.at(-1), 'x-forwarded-proto'), ['https']);
  for (let count = 0; count < 20; count += 1) {
    const { status } = await ask({ host: 'app.cupola.test', port: path.httpsPort, ca });
    assert.equal(status, 200);
  }
});

test('what is neither is closed at once, and silence after ten seconds', async () => {
  const before = received.length;
  for (const text of [
    'GET / HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n',
    'PROXY TCP4 6.6.6.6 1.1.1.1 1 2\r\nSSH-2.0-x\r\n',
  ]) {
    const socket = await open();
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.write(text);
    const started = Date.now();
    await closed;
    assert.ok(Date.now() - started < 5_000);
  }
  const silent = await open();
  const started = Date.now();
  silent.resume();
  await new Promise((resolve) => silent.on('close', resolve));
  assert.ok(Date.now() - started > 8_000 && Date.now() - started < 15_000);
  assert.equal(received.length, before);
});

test('a router that is killed keeps nobody from coming in by either way', async () => {
  await path.engines.router.kill('SIGKILL');
  const ssh = await open();
  ssh.write('SSH-2.0-waits\r\n');
  const banner = next(ssh);
  const tls = ask({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
  await path.restartRouterProxy();
  assert.match(await banner, /^SSH-2\.0-here\r\n/); // what it echoes may come at once with it
  assert.equal((await tls).status, 200);
  ssh.destroy();
});

test('no other local account reaches the ssh-proxy\u2019s socket, where it could name any client', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('another account needs root');
  const before = received.length;
  const program = `require('node:net').connect(process.argv[1]).on('error', (e) => console.log(e.code)).on('connect', () => process.exit(1))`;
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '-e', program];
  const { socket = '' } = path.settings.ssh ?? {};
  assert.equal((await run('setpriv', [...nobody, socket])).trim(), 'EACCES');
  assert.equal(received.length, before);
});
