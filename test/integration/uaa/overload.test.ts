import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN_PASSWORD, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa({ bcryptCost: 10 });
});
after(() => uaa.stop());

/** A login that waits for its answer; gives the connection, and what came when it ended. */
function sendLogin(username: string, address: string): { socket: Socket; answer: Promise<string> } {
  const { hostname, port } = new URL(uaa.url);
  const body = new URLSearchParams({ grant_type: 'password', username, password: 'guess' }).toString();
  const socket = connect(Number(port), hostname);
  let text = '';
  socket
    .on('error', () => {})
    .on('data', (data) => {
      text += data.toString('latin1');
    });
  socket.write(
    `POST /oauth/token HTTP/1.1\r\nHost: uaa\r\nConnection: close\r\nX-Forwarded-For: ${address}\r\n` +
      'Authorization: Basic Y2Y6\r\nContent-Type: application/x-www-form-urlencoded\r\n' +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return { socket, answer: once(socket, 'close').then(() => text) };
}

const failures = () =>
  uaa.db
    .selectFrom('login_failures')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
    .then(({ count }) => count);

test('SECURITY 19: of a burst of logins from one address a few wait, and the rest learn at once when to come back', async () => {
  const burst = Array.from({ length: 60 }, (_, n) => sendLogin(`burst-${n}`, '192.0.2.7'));
  const answers = await Promise.all(burst.map(({ answer }) => answer));
  const refused = answers.filter((text) => text.startsWith('HTTP/1.1 429'));
  assert.ok(refused.length >= 30, `${refused.length} of 60`);
  for (const text of refused) assert.match(text, /\r\nretry-after: \d+\r\n/i);
  assert.equal(answers.filter((text) => text.startsWith('HTTP/1.1 401')).length, 60 - refused.length);
  assert.equal(await failures(), 60 - refused.length, 'what was refused was not worked on');
});

test('SECURITY 19: logins whose clients have gone are not worked on', async () => {
  const before = await failures();
  const burst = Array.from({ length: 60 }, (_, n) => sendLogin(`gone-${n}`, `192.0.2.${100 + (n % 6)}`));
  while ((await failures()) === before) await delay(10);
  for (const { socket } of burst) socket.destroy();
  const answer = await uaa.call('POST', '/oauth/token', {
    basic: 'cf:',
    form: { grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD },
    headers: { 'x-forwarded-for': '192.0.2.200' },
  });
  assert.equal(answer.status, 200);
  let worked = 0;
  for (let seen = -1; seen !== worked; await delay(1_000)) {
    seen = worked;
    worked = (await failures()) - before;
  }
  assert.ok(worked < 20, `${worked} of 60 were worked on`);
});

test('while the database is away UAA says that it cannot answer now, and when to come back', async () => {
  const other = await startTestUaa();
  try {
    await other.haltDatabase();
    const answer = await other.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
    assert.equal(answer.status, 503);
    assert.equal(answer.body.error, 'temporarily_unavailable');
    assert.ok(Number(answer.headers.get('retry-after')) > 0);
  } finally {
    await other.stop();
  }
});
