import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { readProxyHeader } from '../../../src/ssh-proxy/proxy-protocol.ts';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function header(command: number, family: number, addresses: Buffer): Buffer {
  const rest = Buffer.alloc(4);
  rest.writeUInt8(command, 0);
  rest.writeUInt8(family, 1);
  rest.writeUInt16BE(addresses.length, 2);
  return Buffer.concat([SIGNATURE, rest, addresses]);
}
const TCP4 = Buffer.from([198, 51, 100, 7, 127, 0, 0, 1, 0xc0, 0x01, 0x01, 0xbb]);

/** What the reader makes of a connection that sends these pieces, and what it leaves to be read. */
async function read(
  pieces: Buffer[],
  end = false,
  timeoutMs = 10_000,
): Promise<{ address: string | null; port: number | null; rest: string }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  socket.on('error', () => {});
  try {
    const reading = readProxyHeader(socket, timeoutMs);
    reading.catch(() => {});
    for (const piece of pieces) {
      client.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (end) client.end();
    const remote = await reading;
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      rest += chunk;
    });
    socket.resume();
    client.end('more');
    await once(socket, 'end');
    return { address: remote?.address ?? null, port: remote?.port ?? null, rest };
  } finally {
    client.destroy();
    socket.destroy();
    server.close();
  }
}

describe('PROXY protocol v2', () => {
  test('names the client, and what follows stays', async () => {
    assert.deepEqual(await read([Buffer.concat([header(0x21, 0x11, TCP4), Buffer.from('SSH-2.0-x')])]), {
      address: '198.51.100.7',
      port: 49_153,
      rest: 'SSH-2.0-xmore',
    });
  });

  test('may come byte by byte, and with additions after the addresses', async () => {
    const whole = header(0x21, 0x11, Buffer.concat([TCP4, Buffer.from([3, 0, 1, 0xff])]));
    const { address, rest } = await read([...whole].map((byte) => Buffer.from([byte])));
    assert.deepEqual([address, rest], ['198.51.100.7', 'more']);
  });

  test('knows IPv6', async () => {
    const addresses = Buffer.alloc(36);
    addresses.writeUInt16BE(0x2001, 0);
    addresses.writeUInt16BE(0xdb8, 2);
    addresses.writeUInt16BE(1, 14);
    assert.equal((await read([header(0x21, 0x21, addresses)])).address, '2001:db8:0:0:0:0:0:1');
  });

  test('tells nobody of a health check', async () => {
    assert.equal((await read([header(0x20, 0x00, Buffer.alloc(0))])).address, null);
  });

  test('is demanded: other beginnings, cut-off, endless and silent ones are refused', async () => {
    const bad = { code: 'bad_proxy_header' };
    await assert.rejects(read([Buffer.from('SSH-2.0-OpenSSH_9.2 and more\r\n')]), bad);
    await assert.rejects(read([header(0x21, 0x11, TCP4.subarray(0, 4))]), bad);
    await assert.rejects(read([header(0x31, 0x11, TCP4)]), bad);
    await assert.rejects(read([header(0x21, 0x31, TCP4)]), bad);
    await assert.rejects(read([header(0x21, 0x11, Buffer.alloc(5000))]), bad);
    await assert.rejects(read([SIGNATURE], true), bad);
    await assert.rejects(read([], false, 500), bad);
  });
});
