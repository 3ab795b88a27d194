import { createSocket, type Socket } from 'node:dgram';

/** A query for an A record, RFC 1035. */
export function query(id: number, name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([
    Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
}

/** That query's answer. */
export function answer(question: Buffer, address = '192.0.2.1'): Buffer {
  const head = Buffer.from(question.subarray(0, question.indexOf(0, 12) + 5));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt16BE(0, 10);
  return Buffer.concat([
    head,
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]),
  ]);
}

export async function bound(address: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8_000_000 });
  const ready = Promise.withResolvers<void>();
  socket.once('error', ready.reject);
  socket.bind(port, address, ready.resolve);
  await ready.promise;
  return socket;
}

/** What came to a query. */
export interface Answer {
  /** RFC 1035, 4.1.1: 0 where the name is known. */
  code: number;
  /** The last record's, where that is an A record. */
  address: string;
}

/** Asks once; null where no answer comes in time. */
export async function ask(server: string, name: string, timeoutMs: number): Promise<Answer | null> {
  const socket = await bound('127.0.0.1', 0);
  const said = Promise.withResolvers<Answer | null>();
  const timer = setTimeout(() => said.resolve(null), timeoutMs);
  socket.on('message', (message) => said.resolve({ code: message[3]! & 15, address: message.subarray(-4).join('.') }));
  socket.send(query(7, name), 53, server);
  return said.promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}
