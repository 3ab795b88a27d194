import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EXIT_SOFTWARE, type Faults } from '../../../src/kit/faults.ts';
import { adminOperation, NoBody, serveAdmin } from '../../../src/platform/admin-socket.ts';
import { launch } from '../../../src/platform/components/launch.ts';
import { FaultCounts } from '../../../src/platform/fault-counts.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-faults-'));
after(() => rmSync(directory, { recursive: true }));
const socketOf = (name: string): string => join(directory, name, 'admin.sock');

test('what nobody caught counts over the ends of the processes that it happened in', async (context) => {
  const faults: Faults = { uncaught: 0, ofConnections: 0, rejections: 0 };
  const server = await serveAdmin(socketOf('control'), { 'GET /faults': adminOperation(NoBody, () => faults) });
  context.after(() => server.close());
  const counts = new FaultCounts(socketOf);
  const ofAll = async () => Object.fromEntries(await counts.of(['control', 'cell-0']));
  assert.deepEqual(await ofAll(), { control: 0, 'cell-0': 0 });
  Object.assign(faults, { uncaught: 1, ofConnections: 1, rejections: 2 });
  assert.deepEqual(await ofAll(), { control: 3, 'cell-0': 0 });
  counts.ended('control');
  Object.assign(faults, { uncaught: 0, ofConnections: 0, rejections: 0 });
  assert.deepEqual(await ofAll(), { control: 4, 'cell-0': 0 });
  Object.assign(faults, { uncaught: 2 });
  assert.deepEqual(await ofAll(), { control: 6, 'cell-0': 0 });
  Object.assign(faults, { uncaught: 1 });
  assert.deepEqual(await ofAll(), { control: 7, 'cell-0': 0 }, 'a process took over, and has one of its own');
  server.close();
  assert.deepEqual(await ofAll(), { control: 7, 'cell-0': 0 }, 'also while it does not answer');
});

test('a component that ends of an uncaught error is told apart from one that ends otherwise', async () => {
  const faults: string[] = [];
  const start = async (code: number): Promise<void> => {
    const ended = Promise.withResolvers<void>();
    await launch({
      command: 'sh',
      args: ['-c', `sleep 0.2; exit ${code}`],
      account: null,
      logFile: join(directory, 'log'),
      onFault: () => faults.push(String(code)),
      onExit: ended.resolve,
    });
    await ended.promise;
  };
  for (const code of [0, 1, EXIT_SOFTWARE]) await start(code);
  assert.deepEqual(faults, [String(EXIT_SOFTWARE)]);
});
