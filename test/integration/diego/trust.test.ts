import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { Bbs, CellRegistry } from '../../../src/contracts/gen/diego_pb.js';
import { createRoot, issue, type KeyAndCertificate } from '../../../src/kit/pki.ts';
import { client, type RpcServer, remoteTransport, serveRpc } from '../../../src/kit/rpc.ts';
import type { Identity } from '../../../src/kit/tls.ts';
import { TestFoundation } from '../../support/diego.ts';
import { silentLog, startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

const PORT = 24_010;
const notBefore = new Date(Date.now() - 60_000);
const notAfter = new Date(Date.now() + 3_600_000);
let postgresql: TestPostgresql;
let foundation: TestFoundation;
let server: RpcServer;
let root: KeyAndCertificate;

async function identity(commonName: string, dnsNames: string[], authority = root): Promise<Identity> {
  const own = await issue({ ...authority, isRoot: true }, { commonName, dnsNames, notBefore, notAfter });
  return { ...own, ca: root.cert };
}

before(async () => {
  postgresql = await startTestPostgresql(['bbs']);
  foundation = new TestFoundation(postgresql);
  await foundation.addDiego();
  root = await createRoot('platform', notBefore, notAfter);
  server = await serveRpc({
    host: '127.0.0.1',
    port: PORT,
    identity: await identity('control', ['control']),
    peers: { [Bbs.typeName]: ['control'], [CellRegistry.typeName]: ['cell'] },
    routes: foundation.diego.routes,
    log: silentLog,
  });
});
after(async () => {
  await server?.close();
  await foundation?.close();
  await postgresql.stop();
});

const denied = (error: unknown) => ConnectError.from(error).code === Code.PermissionDenied;
const connect = (peer: Identity) => remoteTransport(`https://127.0.0.1:${PORT}`, peer, 'control', { timeoutMs: 3_000 });

test('DGO-02: the BBS answers over mutual TLS, and only whom the table names', async () => {
  const control = connect(await identity('control', ['control']));
  assert.deepEqual((await client(Bbs, control).cells({})).cells, []);
  const cell = connect(await identity('cell', ['cell', 'cell-1']));
  await assert.rejects(client(Bbs, cell).cells({}), denied);
});

test('DGO-02: a certificate of another authority is refused', async () => {
  const foreign = await createRoot('platform', notBefore, notAfter);
  const peer = connect(await identity('control', ['control'], foreign));
  await assert.rejects(client(Bbs, peer).cells({}));
});

test('DGO-05: a cell speaks for itself alone', async () => {
  const registry = client(CellRegistry, connect(await identity('cell', ['cell', 'cell-1'])));
  await registry.heartbeat({ cellId: 'cell-1' });
  await assert.rejects(registry.heartbeat({ cellId: 'cell-2' }), denied);
  await assert.rejects(registry.actualLrpsOfCell({ cellId: 'cell-2' }), denied);
  await assert.rejects(registry.claimActualLrp({ processGuid: 'web', index: 0, cellId: 'cell-2' }), denied);
});
