import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createContextValues } from '@connectrpc/connect';
import { runUnaryCall } from '@connectrpc/connect/protocol';
import { Bbs, CellsResponseSchema, EmptySchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { createRoot, issue } from '../../../src/kit/pki.ts';
import { authorizePeers, client, peerName, remoteTransport, serveRpc } from '../../../src/kit/rpc.ts';

const notBefore = new Date(Date.now() - 60_000);
const notAfter = new Date(Date.now() + 3_600_000);
const message = create(EmptySchema);
const denied = (error: unknown) => error instanceof ConnectError && error.code === Code.PermissionDenied;

/** A call to the BBS by this peer, held against the table where it was routed. */
function call(name: string, table: Record<string, readonly string[]>) {
  return runUnaryCall<typeof EmptySchema, typeof CellsResponseSchema>({
    interceptors: [authorizePeers(table)],
    req: {
      stream: false,
      service: Bbs,
      method: Bbs.method.cells,
      requestMethod: 'POST',
      url: 'https://control/',
      header: new Headers(),
      contextValues: createContextValues().set(peerName, name),
      message,
    },
    next: async (request) => ({
      stream: false,
      service: Bbs,
      method: request.method,
      header: new Headers(),
      trailer: new Headers(),
      message: create(CellsResponseSchema),
    }),
  });
}

describe('the table of peers', () => {
  test('DGO-05: where a call was routed: a peer that it does not name, and a service that is not in it, are refused', async () => {
    const table = { [Bbs.typeName]: ['control'] };
    await call('control', table);
    await call('local', {});
    for (const name of ['cell', '', 'Control', 'control ']) await assert.rejects(call(name, table), denied, name);
    await assert.rejects(call('control', {}), denied);
    await assert.rejects(call('control', { [`${Bbs.typeName}x`]: ['control'] }), denied);
  });

  test('DGO-05: at the door: a peer that it does not name is refused by its certificate before its message is read', async () => {
    const root = await createRoot('platform', notBefore, notAfter);
    const identity = async (commonName: string) => ({
      ...(await issue({ ...root, isRoot: true }, { commonName, dnsNames: [commonName], notBefore, notAfter })),
      ca: root.cert,
    });
    let reached = 0;
    const server = await serveRpc({
      host: '127.0.0.1',
      port: 0,
      identity: await identity('control'),
      peers: { [Bbs.typeName]: ['control'] },
      routes: (router) =>
        void router.service(Bbs, {
          cells: () => {
            reached += 1;
            return {};
          },
        }),
      log: new Logger('test', {}, () => {}),
    });
    try {
      const address = server.server.address();
      assert.ok(typeof address === 'object' && address);
      const as = async (name: string) =>
        client(Bbs, remoteTransport(`https://127.0.0.1:${address.port}`, await identity(name), 'control')).cells({});
      await as('control');
      // The door names no service: what is refused after it was read names the one that was asked for.
      const atTheDoor = (error: unknown) => denied(error) && /cell may not call this$/.test(String(error));
      await assert.rejects(as('cell'), atTheDoor);
      assert.equal(reached, 1);
    } finally {
      await server.close();
    }
  });
});
