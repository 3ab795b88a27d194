import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import ssh2 from 'ssh2';
import { SshAccessResponseSchema } from '../../../src/contracts/gen/cloud-controller_pb.js';
import { ActualLrpsResponseSchema, CellsResponseSchema } from '../../../src/contracts/gen/diego_pb.js';
import { SendResponseSchema } from '../../../src/contracts/gen/loggregator_pb.js';
import { AttachedSchema, ExecOutputSchema } from '../../../src/contracts/gen/ssh_pb.js';
import { onAbort } from '../../../src/kit/abort.ts';
import { createSshProxy, generateHostKey, type SshProxy } from '../../../src/ssh-proxy/ssh-proxy.ts';
import { until } from '../../support/diego.ts';
import { silentLog } from '../../support/postgresql.ts';
import { exec, outcome } from '../../support/ssh-proxy.ts';

const PORT = 24_056;
const LIMITS = { connections: 10, allSessions: 10, unreadBytes: 4 * 1024 ** 2 };

const app = (serial: number): string => `0f3c5f4e-9a44-4b21-8d1e-${String(serial).padStart(12, '0')}`;
const over = (signal: AbortSignal | undefined) =>
  new Promise<void>((resolve) => onAbort(signal ?? AbortSignal.abort(), resolve));

let proxy: SshProxy;
const clients = new Set<ssh2.Client>();
/** Connections that have a place: it is free by the time that the cell learns of their end. */
let attached = 0;

/** Each code is its user's; each app has one instance, in which "hold" reads nothing and "full" finds no room for a session. */
before(async () => {
  proxy = createSshProxy({
    hostKey: generateHostKey(),
    public: { host: '127.0.0.1', port: PORT },
    behindRouter: null,
    exchangeCode: async (code) => code,
    cloudController: {
      sshAccess: async ({ accessToken = '', processGuid = '' }) =>
        create(SshAccessResponseSchema, {
          allowed: true,
          lrpProcessGuid: processGuid,
          userGuid: accessToken,
          owner: { appGuid: processGuid, appName: 'shelly', processType: 'web' },
        }),
    },
    bbs: {
      actualLrps: async ({ processGuids: [processGuid = ''] = [] }) =>
        create(ActualLrpsResponseSchema, {
          actualLrps: [{ processGuid, index: 0, instanceGuid: 'instance', cellId: 'cell-0', state: 'RUNNING' }],
        }),
      cells: async () => create(CellsResponseSchema, { cells: [{ cellId: 'cell-0' }] }),
    },
    cell: () => ({
      ssh: {
        async *attach(_request, options) {
          attached += 1;
          yield create(AttachedSchema);
          await over(options?.signal);
          attached -= 1;
        },
        async *exec(input, options) {
          const first = await input[Symbol.asyncIterator]().next();
          const start = first.done ? undefined : first.value.input;
          const command = start?.case === 'start' && start.value.what?.case === 'command' ? start.value.what.value : '';
          if (command === 'full') throw new ConnectError('full', Code.ResourceExhausted);
          yield create(ExecOutputSchema, { output: { case: 'stdout', value: Buffer.from('in') } });
          if (command === 'hold') await over(options?.signal);
          yield create(ExecOutputSchema, { output: { case: 'exitCode', value: 0 } });
        },
        forward: () => {
          throw new Error('nothing is forwarded');
        },
      },
      close: () => {},
    }),
    ingress: { send: async () => create(SendResponseSchema) },
    log: silentLog,
    limits: LIMITS,
  });
  await proxy.start();
});
after(() => proxy.close());
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients.clear();
  await until(() => attached === 0);
});

async function logIn(user: string, serial: number): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  clients.add(client);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.once('ready', resolve);
  client.on('error', reject); // also those that come after it is over
  client.connect({ host: '127.0.0.1', port: PORT, username: `cf:${app(serial)}/0`, password: `the-user-${user}` });
  await promise;
  return client;
}

const closing = (client: ssh2.Client) => new Promise<void>((resolve) => client.once('close', () => resolve()));

async function said(client: ssh2.Client, command = 'true'): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof outcome>>>();
  // All of it may come at once.
  client.exec(command, (error, channel) => (error ? reject(error) : resolve(outcome(channel))));
  const { code, out, err } = await promise;
  assert.equal(code, err === '' ? 0 : 255);
  return out + err;
}

test('SECURITY 30: no user has the connections of all, with however many apps, and is told what is full', async () => {
  for (let serial = 0; serial < 3; serial++) assert.equal(await said(await logIn('a', serial)), 'in');
  const text = 'You have 3 SSH connections, as many as one user may have. End one and try again.\r\n';
  assert.equal(await said(await logIn('a', 3)), text);
  assert.equal(await said(await logIn('b', 0)), 'in');
});

test('SECURITY 30: no app has the connections of all, with however many users', async () => {
  for (const user of ['a', 'b', 'c']) assert.equal(await said(await logIn(user, 0)), 'in');
  assert.match(await said(await logIn('d', 0)), /^This app has 3 SSH connections, as many as one app may have/);
  assert.equal(await said(await logIn('d', 1)), 'in');
});

test('SECURITY 30: connections that begin at once have no more places than there are', async () => {
  const many = await Promise.all(Array.from({ length: 12 }, (_, serial) => logIn('a', serial)));
  const texts = await Promise.all(many.map((client) => said(client)));
  assert.equal(texts.filter((text) => text === 'in').length, 3);
});

test('a place is free when its connection has ended, however it did', async () => {
  for (const end of ['end', 'destroy'] as const) {
    const held = await Promise.all([0, 1, 2].map((serial) => logIn('a', serial)));
    await exec(held[0]!, 'hold');
    const closed = held.map(closing);
    for (const client of held) client[end]();
    await Promise.all(closed);
    await until(() => attached === 0);
  }
  assert.equal(await said(await logIn('a', 3)), 'in');
});

test('SECURITY 25: who is told that there is no place sends no more than who logs in', async () => {
  for (let serial = 0; serial < 3; serial++) await logIn('a', serial);
  const refused = await logIn('a', 3);
  let open = true;
  const closed = closing(refused).finally(() => {
    open = false;
  });
  let asked = 0;
  for (; open && asked < 100; asked++) {
    const answered = new Promise((resolve) => refused.forwardOut('127.0.0.1', 1, 'x'.repeat(8000), 80, resolve));
    await Promise.race([answered, closed]);
  }
  assert.ok(!open && asked > 1, `${asked} asked`);
});

test('SECURITY 30: no user has the sessions of all', async () => {
  const client = await logIn('a', 0);
  for (let count = 0; count < 3; count++) await exec(client, 'hold');
  assert.match(await said(client), /^You have 3 SSH sessions, as many as one user may have/);
  assert.equal(await said(await logIn('b', 1)), 'in');
  client.destroy();
  await until(() => attached === 1);
  assert.equal(await said(await logIn('a', 0)), 'in');
});

test('an instance without room for one more session says so', async () => {
  assert.match(await said(await logIn('a', 0), 'full'), /^This instance has as many sessions as it may have/);
});

test('SECURITY 30: who sends what nobody takes loses the connection, and nobody else does', async () => {
  const [client, other] = [await logIn('a', 0), await logIn('b', 0)];
  const [holds, others] = [await exec(client, 'hold'), await exec(other, 'hold')];
  others.write(Buffer.alloc(1024 ** 2));
  holds.write(Buffer.alloc(1024 ** 2));
  assert.equal(await said(client), 'in', 'within the share');
  const closed = closing(client);
  holds.write(Buffer.alloc(512 * 1024));
  assert.ok(await Promise.race([closed.then(() => true), delay(10_000, false)]), 'it ends');
  assert.equal(await said(other), 'in');
});
