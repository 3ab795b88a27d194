import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { test } from 'node:test';
import { Logger } from '../../../src/kit/log.ts';
import { createRoot, issue } from '../../../src/kit/pki.ts';
import { STREAM_WINDOW_BYTES, serveRpc } from '../../../src/kit/rpc.ts';
import { tlsOptions } from '../../../src/kit/tls.ts';

test('a server of calls that carry much takes a whole window ahead, and not of one call at a time alone', async () => {
  const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + 600_000)];
  const root = await createRoot('platform', notBefore, notAfter);
  const identity = async (commonName: string) => ({
    ...(await issue({ ...root, isRoot: true }, { commonName, dnsNames: [commonName], notBefore, notAfter })),
    ca: root.cert,
  });
  const { server, close } = await serveRpc({
    ...{ host: '127.0.0.1', port: 0, identity: await identity('control'), peers: {}, routes: () => {} },
    streamWindowBytes: STREAM_WINDOW_BYTES,
    log: new Logger('test', {}, () => {}),
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address);
  const options = { ...tlsOptions(await identity('cell')), servername: 'control' };
  const session = connect(`https://127.0.0.1:${address.port}`, options);
  try {
    const [settings] = await once(session, 'remoteSettings');
    assert.equal(settings.initialWindowSize, STREAM_WINDOW_BYTES);
    await new Promise<void>((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
    assert.equal(session.state.remoteWindowSize, 4 * STREAM_WINDOW_BYTES);
  } finally {
    session.destroy();
    await close();
  }
});
