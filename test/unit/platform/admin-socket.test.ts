import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { adminOperation, askAdmin, NoBody, serveAdmin } from '../../../src/platform/admin-socket.ts';

const directory = mkdtempSync('/run/admin-socket-');
const path = join(directory, 'admin.sock');
let close: () => void = () => {};
afterEach(() => close());
after(() => rmSync(directory, { recursive: true }));

/** A process that was broken into, and answers so. */
async function answers(answer: (response: ServerResponse) => void): Promise<void> {
  const server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  close = () => {
    server.closeAllConnections();
    server.close();
  };
}

test('an answer of many routes comes whole', async () => {
  const refused = Array.from({ length: 20_000 }, (_, index) => `route-${index}.cupola.localhost: too long`);
  const server = await serveAdmin(path, { 'GET /router': adminOperation(NoBody, () => ({ refused })) });
  close = () => server.close();
  assert.deepEqual(await askAdmin(path, 'GET /router'), { refused });
});

test('SECURITY 25: what a process answers the supervisor has an end, in bytes and in time', {
  timeout: 30_000,
}, async () => {
  await answers((response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x')));
    };
    response.on('drain', more);
    more();
  });
  await assert.rejects(askAdmin(path, 'GET /faults'), { code: 'stream_too_long' });
  close();
  let drops: NodeJS.Timeout | undefined;
  await answers((response) => {
    drops = setInterval(() => response.write(' '), 20);
  });
  await assert.rejects(askAdmin(path, 'GET /faults', { timeoutMs: 300 }), { code: 'no_answer' });
  clearInterval(drops);
});

test('SECURITY 25: of what a process complains a log gets the beginning', async () => {
  await answers((response) => response.writeHead(500).end(JSON.stringify({ code: 'x', message: 'y'.repeat(100_000) })));
  await assert.rejects(askAdmin(path, 'GET /faults'), { code: 'x', message: 'y'.repeat(1_000) });
});

test('where no socket is, nothing runs', async () => {
  await assert.rejects(askAdmin(join(directory, 'none.sock'), 'GET /status'), { code: 'not_running' });
  await assert.rejects(askAdmin(join(directory, 'none/admin.sock'), 'GET /status'), { code: 'not_running' });
});
