import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import ssh2 from 'ssh2';
import { listenUnix } from '../../../src/kit/sockets.ts';
import { createSshProxy, generateHostKey, type SshProxy } from '../../../src/ssh-proxy/ssh-proxy.ts';
import { silentLog } from '../../support/postgresql.ts';

const PUBLIC = 24_050;
const BEHIND_ROUTER = `/tmp/ssh-door-${process.pid}.sock`;
const LIMITS = { unauthenticated: 40, unauthenticatedPerAddress: 10, loginBytes: 64 * 1024, loginMs: 60_000 };
/** With what kernel buffers take before the connection ends. */
const ENOUGH_BYTES = 12 * 1024 ** 2;

let proxy: SshProxy;
const sockets = new Set<Socket>();

const nobody = async (): Promise<never> => {
  throw new Error('nothing is asked for whom nobody knows');
};

before(async () => {
  proxy = createSshProxy({
    hostKey: generateHostKey(),
    public: { host: '127.0.0.1', port: PUBLIC },
    behindRouter: { descriptor: listenUnix(BEHIND_ROUTER) },
    exchangeCode: nobody,
    cloudController: { sshAccess: nobody },
    bbs: { actualLrps: nobody, cells: nobody },
    cell: () => {
      throw new Error('no cell is reached');
    },
    ingress: { send: nobody },
    log: silentLog,
    limits: LIMITS,
  });
  await proxy.start();
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});
after(async () => {
  await proxy.close();
  rmSync(BEHIND_ROUTER, { force: true });
});

interface Visit {
  socket: Socket;
  /** What the server said. */
  said: () => string;
  open: () => boolean;
}

function visit(socket: Socket): Visit {
  let said = '';
  let open = true;
  sockets.add(socket);
  socket.setEncoding('latin1');
  socket.on('data', (text) => {
    said += text;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    open = false;
  });
  return { socket, said: () => said, open: () => open };
}

/** By way of the router, which names the client. */
function visitAs(address: string): Visit {
  const header = Buffer.concat([
    Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'),
    Buffer.from([...address.split('.').map(Number), 127, 0, 0, 1]),
    Buffer.from('c0000016', 'hex'),
  ]);
  const socket = connect(BEHIND_ROUTER);
  socket.write(header);
  return visit(socket);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, what);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** Sends these bytes and then more without end; gives how many were taken until the connection ended. */
async function flood({ socket, open }: Visit, first: string): Promise<number> {
  socket.write(first);
  const chunk = Buffer.alloc(65_536, 0xff);
  const pump = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', pump);
  pump();
  await until('the flood is ended', () => !open());
  return socket.bytesWritten - socket.writableLength;
}

test('SECURITY 17, 25: the server names itself before a byte of the client', async () => {
  for (const one of [visit(connect(PUBLIC, '127.0.0.1')), visitAs('192.0.2.1')]) {
    await until('its name', () => one.said().startsWith('SSH-2.0-Cupola'));
  }
});

test('SECURITY 25: who is not known sends megabytes to nobody, before and after names are exchanged', async () => {
  for (const first of ['', 'SSH-2.0-flood\r\n', 'no name\r\n'.repeat(1000)]) {
    const taken = await flood(visit(connect(PUBLIC, '127.0.0.1')), first);
    assert.ok(taken < ENOUGH_BYTES, `${taken} bytes after ${JSON.stringify(first.slice(0, 20))}`);
  }
  const behind = connect(BEHIND_ROUTER);
  assert.ok((await flood(visit(behind), 'no header')) < ENOUGH_BYTES);
});

test('SECURITY 25: who is not known has a bounded number of bytes once keys are exchanged, too', async () => {
  const client = new ssh2.Client();
  const { promise, resolve } = Promise.withResolvers<void>();
  let tries = 0;
  client.on('error', () => {}).on('close', () => resolve());
  client.connect({
    host: '127.0.0.1',
    port: PUBLIC,
    username: 'x',
    authHandler: (_left, _partial, next) => {
      tries += 1;
      if (tries > 1000) return client.end();
      next({ type: 'none', username: 'x'.repeat(10_000) });
    },
  });
  await promise;
  assert.ok(tries > 1 && tries < 20, `${tries} tries`);
});

test('SECURITY 25: connections of one address that say nothing are bounded, and their own oldest make place', async () => {
  const many = Array.from({ length: 30 }, () => visitAs('192.0.2.7'));
  await until('one address keeps its share', () => many.filter(({ open }) => open()).length === 10);
  const other = visitAs('192.0.2.8');
  await until('another is served', () => other.said().startsWith('SSH-2.0-'));
  assert.ok(
    many.slice(-10).every(({ open }) => open()),
    'the latest stay',
  );
});

test('SECURITY 25: connections of many addresses that say nothing are bounded in all, and who comes next is served', async () => {
  const many = Array.from({ length: 120 }, (_, index) => visitAs(`198.51.100.${index}`));
  await until('no more than there is room for', () => many.filter(({ open }) => open()).length === 40);
  const next = visitAs('203.0.113.1');
  await until('the next is served', () => next.said().startsWith('SSH-2.0-'));
});
