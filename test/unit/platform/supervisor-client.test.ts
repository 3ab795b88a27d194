import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lockFile } from '../../../src/kit/lock.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { supervisorLockOf } from '../../../src/platform/program.ts';
import { askSupervisor, isSilence, supervisorAnswers } from '../../../src/platform/supervisor-client.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-supervisor-client-'));
after(() => rmSync(directory, { recursive: true }));

const asked = (socket: string, dataDirectory: string) =>
  askSupervisor(
    { ...layoutOf(testSettings({ dataDirectory })), supervisorSocket: join(directory, socket) },
    'GET /cells',
  );
/** A socket that stays when its server has gone, as that of a supervisor that was killed. */
async function socketOf(name: string, server = createServer()): Promise<void> {
  await new Promise<void>((resolve) => server.listen(join(directory, 'made.sock'), resolve));
  renameSync(join(directory, 'made.sock'), join(directory, name));
}

test('where no supervisor runs, what starts it is said, and no path of the inside', async () => {
  const refusal = (command: string) => ({
    code: 'not_running',
    message: `the platform does not run; ${command} starts it`,
    cause: undefined,
  });
  await assert.rejects(asked('none.sock', '/var/lib/cupola'), refusal('./cupola up'));
  await assert.rejects(asked('none/supervisor.sock', '/srv/x'), refusal('./cupola up --data /srv/x'));
  const server = createServer();
  await socketOf('left.sock', server);
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(asked('left.sock', '/srv/x'), refusal('./cupola up --data /srv/x'));
});

test('a supervisor that hangs up is told with why', async (t) => {
  const server = createServer((socket) => socket.destroy());
  t.after(() => server.close());
  await socketOf('rude.sock', server);
  await assert.rejects(asked('rude.sock', '/srv/x'), (error: Error) => error.cause instanceof Error);
});

test('a supervisor that does not answer is not taken for one that does not run: seconds later it is said which one it is, and what to do', {
  timeout: 30_000,
}, async (t) => {
  const server = createServer();
  t.after(() => server.close());
  await socketOf('silent.sock', server);
  const run = mkdtempSync(join(directory, 'run-'));
  using _ = lockFile(supervisorLockOf(run), 'supervisor');
  const layout = {
    ...layoutOf(testSettings({ dataDirectory: '/srv/x' })),
    run,
    supervisorSocket: join(directory, 'silent.sock'),
  };
  const sockets: { destroy(): unknown }[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  t.after(() => sockets.forEach((socket) => void socket.destroy()));
  const refusal = {
    code: 'no_answer',
    message: `the supervisor (process ${process.pid}) gave no answer to GET /status in 10 s; ./cupola down --data /srv/x ends it and all that runs, ./cupola up --data /srv/x starts the platform again`,
  };
  await Promise.all([
    assert.rejects(askSupervisor(layout, 'GET /status'), refusal),
    assert.rejects(supervisorAnswers(layout), refusal),
  ]);
});

test('a supervisor that tells that another one gave it no answer is not taken for silent', async (t) => {
  const told = { code: 'no_answer', message: 'no answer to POST /rotate-signing-key in 120 s' };
  const server = createHttpServer((_, response) => response.writeHead(500).end(JSON.stringify(told)));
  t.after(() => server.close());
  await socketOf('telling.sock', server);
  await assert.rejects(
    asked('telling.sock', '/srv/x'),
    (error: Error) => error.message === told.message && !isSilence(error),
  );
});
