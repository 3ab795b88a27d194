import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Terminal } from '../../../src/cell/garden/terminal.ts';
import { until } from '../../support/diego.ts';

const session = join(import.meta.dirname, '../../../src/cell/staging/lifecycle/session');
const PATH = { PATH: '/usr/bin:/bin' };

for (const late of [false, true]) {
  const when = late ? 'after the session began' : 'before the session began';
  test(`a session translates line ends though the runtime turned it off ${when}`, async () => {
    const terminal = new Terminal({ columns: 80, rows: 24 });
    const turn = (what: string): void => {
      const stty = spawnSync('stty', [what], { stdio: [terminal.child, 'inherit', 'inherit'], env: PATH });
      assert.equal(stty.status, 0);
    };
    let seen = '';
    terminal.output.on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    turn('onlcr');
    if (!late) turn('-onlcr');
    const child = spawn('bash', [session, 'command', 'read -r; stty -a'], {
      stdio: [terminal.child, terminal.child, terminal.child],
      env: PATH,
    });
    const exit = once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
    exit.catch(() => {}); // awaited below
    try {
      if (late) {
        const looks = () => readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
        await until(async () => (await looks()) !== '');
        turn('-onlcr');
      }
      terminal.input.write('\n');
      await exit;
      terminal.release();
      await once(terminal.output, 'end');
      assert.match(seen, / onlcr /);
    } finally {
      child.kill('SIGKILL');
      terminal.release();
      terminal.input.destroy();
      terminal.output.destroy();
    }
  });
}

test('a terminal whose client does not know its size has none, and keeps the one it knew', () => {
  const terminal = new Terminal({ columns: 0, rows: 0 });
  const size = () =>
    spawnSync('stty', ['size'], { stdio: [terminal.child, 'pipe', 'inherit'], env: PATH, encoding: 'utf8' }).stdout;
  try {
    assert.equal(size(), '0 0\n');
    terminal.resize({ columns: 100_000, rows: 33 });
    terminal.resize({ columns: 0, rows: 40 });
    terminal.resize({ columns: 80, rows: -1 });
    assert.equal(size(), '33 65535\n');
  } finally {
    terminal.release();
    terminal.input.destroy();
    terminal.output.destroy();
  }
});

test('a full terminal is tried again ever more rarely, and soon again once somebody read', async (t) => {
  const terminal = new Terminal({ columns: 80, rows: 24 });
  const timers = t.mock.method(globalThis, 'setTimeout');
  const waits = () => timers.mock.calls.map(({ arguments: [, milliseconds] }) => milliseconds);
  try {
    terminal.input.write(Buffer.alloc(65_536, 'x'));
    await until(() => waits().length >= 9);
    assert.deepEqual(waits().slice(0, 9), [5, 10, 20, 40, 80, 160, 200, 200, 200]);
    const seen = waits().length;
    readSync(terminal.child, Buffer.alloc(4096));
    await until(() => waits().slice(seen).includes(5));
  } finally {
    terminal.release();
    terminal.input.destroy();
    terminal.output.destroy();
  }
});
