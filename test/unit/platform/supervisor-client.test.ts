import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { layoutOf } from '../../../src/platform/layout.ts';
import { askSupervisor } from '../../../src/platform/supervisor-client.ts';
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
