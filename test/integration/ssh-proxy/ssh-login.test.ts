import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type ssh2 from 'ssh2';
import { fingerprintOf } from '../../../src/ssh-proxy/fingerprint.ts';
import { generateHostKey } from '../../../src/ssh-proxy/ssh-proxy.ts';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { APP, exec, HOST_KEY, outcome, TestSshProxy } from '../../support/ssh-proxy.ts';

describe('who gets through the SSH proxy', { skip: GARDEN_SKIP }, () => {
  const t = new TestSshProxy(22_316);

  before(() => t.start('qsc', '10.232.43.0/24'));
  after(() => t.stop());

  test('SECURITY-TESTS 17: one code is one login; wrong ones, wrong users and other methods are none', async () => {
    const password = t.freshCode();
    (await t.logIn({ password })).end();
    await t.refused({ password });
    await t.refused({ password: 'never-a-code' });
    await t.refused({ password: '' });
    await t.refused({ username: 'root' });
    await t.refused({ username: `cf:${APP}` });
    await t.refused({ username: `cf:${APP}/13` }); // the Cloud Controller says no
    await t.refused({ username: `cf:${APP}/1` }); // it is not up
    await t.refused({ username: `cf:${APP}/2` }); // its cell does not have it
    await t.refused({ username: `cf:${APP}/7` }); // there is none
    await t.refused({ password: undefined as never, privateKey: generateHostKey() });
    t.asked = [];
    await t.refused({ password: 'never-a-code' });
    assert.deepEqual(t.asked, [], 'nobody is asked about a code that is no good');
  });

  test('only algorithms of today are offered, and the key is the one whose fingerprint is known', async () => {
    let seen = '';
    const { createHash } = await import('node:crypto');
    const one = await t.logIn({
      hostVerifier: (key: Buffer) => {
        seen = createHash('sha256').update(key).digest('base64').replace(/=+$/, '');
        return true;
      },
    });
    one.end();
    assert.equal(seen, fingerprintOf(HOST_KEY));
    const old: Partial<ssh2.Algorithms>[] = [
      { kex: ['diffie-hellman-group14-sha1'] },
      { cipher: ['aes128-cbc'] },
      { cipher: ['aes128-ctr'], hmac: ['hmac-sha1'] },
      { serverHostKey: ['ssh-rsa'] },
    ];
    for (const algorithms of old) await assert.rejects(t.logIn({ algorithms }), /no matching|closed/i);
  });

  test('a flood of connections that say nothing, or only hello, does not keep a user out', async () => {
    const flood: Socket[] = [];
    const more = setInterval(() => {
      for (let count = 0; count < 20; count++) {
        const socket = connect(t.publicPort, '127.0.0.1');
        socket.on('error', () => {});
        if (count % 2) socket.write('SSH-2.0-flood\r\n');
        flood.push(socket);
      }
    }, 20);
    try {
      await new Promise((resolve) => setTimeout(resolve, 500));
      // Another address: what the router says of it.
      const sock = connect(t.behindRouter).on('error', () => {});
      const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc6336407c6336408c001', 'hex');
      sock.write(Buffer.concat([header, Buffer.from([0x01, 0xbb])]));
      const one = await t.logIn({ sock });
      assert.equal((await outcome(await exec(one, 'echo in'))).out, 'in\n');
      one.end();
      assert.ok(
        t.logged.some((line) => line.includes('198.51.100.7')),
        'the client is known by its own address',
      );
    } finally {
      clearInterval(more);
      for (const socket of flood) socket.destroy();
    }
  });

  test("what comes to the router's port without a header is dropped", async () => {
    const socket = connect(t.behindRouter);
    socket.on('error', () => {});
    socket.write('SSH-2.0-direct\r\n');
    await once(socket, 'close');
  });

  test("SECURITY-TESTS 28: codes, tokens and the app's environment are in no log line", async () => {
    const one = await t.logIn();
    await outcome(await exec(one, 'echo $PLANTED'));
    one.end();
    await t.refused({ password: 'never-a-code' });
    const all = t.logged.join('\n');
    assert.match(all, /a user opened a connection/);
    assert.match(all, /a login was refused/);
    assert.doesNotMatch(all, /secret-code|a-token|planted-environment|never-a-code/);
  });
});
