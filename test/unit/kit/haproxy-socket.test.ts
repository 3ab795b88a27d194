import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';

let directory: string;
const servers: Server[] = [];
beforeEach(() => {
  directory = mkdtempSync('/run/haproxy-socket-');
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true });
});

/** What listens there does this with each command. Gives how often somebody came. */
async function listen(name: string, answer: (socket: Socket) => void): Promise<() => number> {
  let came = 0;
  const server = createServer((socket) => {
    came += 1;
    socket.on('error', () => {}).once('data', () => answer(socket));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
  return () => came;
}
const ask = (name: string, bounds = {}) => new HaproxySocket(join(directory, name), bounds).ask('show info');
const unreachable = (message: RegExp) => ({ code: 'haproxy_unreachable', message });

test('an answer that comes in pieces is given in whole', async () => {
  await listen('admin.sock', (socket) => {
    socket.write('Pid: 7\n');
    setImmediate(() => socket.end('Start_time_sec: 1\n\n'));
  });
  assert.equal(await ask('admin.sock'), 'Pid: 7\nStart_time_sec: 1');
});

test('SECURITY 25: an answer of HAProxy without an end is cut off, however it comes', { timeout: 30_000 }, async () => {
  await listen('flood.sock', (socket) => {
    const more = () => {
      while (socket.writable && socket.write(Buffer.alloc(65_536, 'x')));
    };
    socket.on('drain', more);
    more();
  });
  await assert.rejects(ask('flood.sock', { mostBytes: 1_000_000 }), unreachable(/more than 1000000 bytes/));
  await listen('drops.sock', (socket) => {
    const timer = setInterval(() => socket.write('x'), 20);
    socket.once('close', () => clearInterval(timer));
  });
  await assert.rejects(ask('drops.sock', { timeoutMs: 300 }), unreachable(/did not end in 300 ms/));
});

test('SECURITY: a socket to which HAProxy’s account only leads is not spoken to', {
  skip: process.getuid?.() === 0 ? false : 'gives a socket away, which needs root',
}, async () => {
  const came = await listen('other.sock', (socket) => socket.end('Pid: 7\n'));
  symlinkSync(join(directory, 'other.sock'), join(directory, 'admin.sock'));
  await assert.rejects(ask('admin.sock'), unreachable(/is no socket/));
  assert.equal(await ask('other.sock'), 'Pid: 7', 'it would have answered');
  chownSync(join(directory, 'other.sock'), 64_321, 64_321);
  await assert.rejects(ask('other.sock'), unreachable(/is not of the account whose directory it lies in/));
  assert.equal(came(), 1);
});

test('an account that may enter the directory, and see nothing in it, asks as root does', {
  skip: process.getuid?.() === 0 ? false : 'becomes another account, which needs root',
}, async () => {
  await listen('driver.sock', (socket) => socket.end('Pid: 7\n'));
  const [proxy, control] = [64_321, 64_322];
  chmodSync(join(directory, 'driver.sock'), 0o660);
  chownSync(join(directory, 'driver.sock'), proxy, control);
  chownSync(directory, proxy, control);
  chmodSync(directory, 0o710);
  const source = new URL('../../../src/kit/haproxy.ts', import.meta.url).pathname;
  const program = `process.setgroups([]); process.setgid(${control}); process.setuid(${control});
    import { HaproxySocket } from ${JSON.stringify(source)};
    console.log(await new HaproxySocket(${JSON.stringify(join(directory, 'driver.sock'))}).ask('show info'));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [said, complaints] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.deepEqual([said, complaints], ['Pid: 7\n', '']);
});
