import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import Type from 'typebox';
import { CellRenewal, Identity, PlatformStatus } from '../../../src/platform/admin-messages.ts';
import { adminOperation, askAdmin, serveAdmin } from '../../../src/platform/admin-socket.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { type Operated, supervisorOperations } from '../../../src/platform/supervisor/operations.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync('/run/admin-operations-');
const path = join(directory, 'admin.sock');
const done: unknown[] = [];
const note = async (...what: unknown[]): Promise<void> => void done.push(what);

/** A supervisor that only notes what it is asked for. */
const supervisor: Operated = {
  layout: layoutOf(testSettings()),
  health: { cells: async () => [], setDraining: (request: unknown) => note('drain', request) },
  rotation: {
    rotate: async (...asked: unknown[]) => {
      done.push(['rotate', ...asked]);
      return ['all of it'];
    },
  },
  status: async () => ({ ready: 'perhaps' }),
  down: () => note('down'),
  leave: () => note('leave'),
  end: () => void note('end'),
  yieldTo: (...asked: unknown[]) => note('yield', ...asked),
};

describe('messages on an admin socket', () => {
  let server: Awaited<ReturnType<typeof serveAdmin>>;
  before(async () => {
    server = await serveAdmin(path, {
      ...supervisorOperations(supervisor),
      'POST /identity': adminOperation(Identity, (next) => note('identity', next)),
      'POST /renewal': adminOperation(CellRenewal, (next) => note('renewal', next)),
    });
  });
  after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  async function refused(operation: string, body: unknown, message: string): Promise<void> {
    done.length = 0;
    await assert.rejects(askAdmin(path, operation, { body }), { code: 'invalid_message', message });
    assert.deepEqual(done, [], 'nothing was done');
  }

  test('what is not as declared is refused with the field that is wrong, and nothing is done', async () => {
    await refused('POST /rotate', undefined, 'the message: the whole must be object');
    await refused('POST /rotate', {}, 'the message: what is missing');
    await refused('POST /rotate', { what: 'x' }, 'the message: what must be equal to one of the allowed values');
    await refused('POST /rotate', { what: 'roots', overlapMs: '1' }, 'the message: overlapMs must be integer');
    await refused('POST /rotate', { what: 'roots', overlapMs: -1 }, 'the message: overlapMs must be >= 0');
    await refused('POST /upgrade', { node: '/node' }, 'the message: main is missing');
    await refused('POST /upgrade', { node: 'node', main: '/x' }, 'the message: node must match pattern "^/"');
    await refused('POST /drain', { cellId: 'cell-0', draining: 'yes' }, 'the message: draining must be boolean');
    await refused('POST /down', { really: true }, 'the message: the whole must be undefined');
    const key = { cert: 'c', key: 'k' };
    await refused('POST /identity', key, 'the message: ca is missing');
    const renewal = { identity: { ...key, ca: 'r' }, instanceIdentity: { intermediate: key }, routerRoot: 'r' };
    await refused('POST /renewal', renewal, 'the message: instanceIdentity.rootCertificate is missing');
  });

  test('SECURITY 28: no value of it is repeated', async () => {
    const body = { cert: 'planted', key: ['planted'], ca: 'planted' };
    await refused('POST /identity', body, 'the message: key must be string');
  });

  test('what is as declared is done, and fields of a later version are passed over', async () => {
    done.length = 0;
    const ask = (operation: string, body?: unknown): Promise<unknown> => askAdmin(path, operation, { body });
    assert.deepEqual(await ask('POST /rotate', { what: 'roots', overlapMs: 0, ofTomorrow: 1 }), {
      done: ['all of it'],
    });
    await ask('POST /rotate', { what: 'all' });
    await ask('POST /drain', { cellId: 'cell-0', draining: true });
    await ask('POST /upgrade', { node: '/node', main: '/main' });
    await ask('POST /down');
    assert.deepEqual(done, [
      ['rotate', 'roots', 0],
      ['rotate', 'all', undefined],
      ['drain', { cellId: 'cell-0', draining: true }],
      ['yield', '/node', '/main'],
      ['down'],
      ['end'],
    ]);
  });

  test('an answer that is not as declared is none', async () => {
    const said = { code: 'invalid_answer', message: /^the answer to GET \/status: \w+ / };
    await assert.rejects(askAdmin(path, 'GET /status', { answer: PlatformStatus }), said);
    assert.deepEqual(await askAdmin(path, 'GET /status', { answer: Type.Object({}) }), { ready: 'perhaps' });
  });
});
