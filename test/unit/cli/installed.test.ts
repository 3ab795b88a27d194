import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { run } from '../../../src/cli/run.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';

describe('an installation that does not run', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'cupola-installed-'));
  const data = join(scratch, 'data');
  before(async () => void (await ensureSettings({ dataDirectory: data })));
  after(() => rmSync(scratch, { recursive: true }));

  /** What a command says to standard error, and its exit code. */
  async function said(t: TestContext, ...args: string[]): Promise<[code: number, err: string]> {
    let err = '';
    const write = t.mock.method(process.stderr, 'write', (text: string) => {
      err += text;
      return true;
    });
    const stderr = { write: (text: string) => (err += text) };
    const code = await run([...args, '--data', data], { stdout: process.stdout, stderr });
    write.mock.restore();
    return [code, err];
  }

  test('is told in one line by what asks it, with the command that starts it', async (t) => {
    for (const args of [
      ['cell', 'list'],
      ['cell', 'drain', 'cell-0'],
    ]) {
      const [code, err] = await said(t, ...args);
      assert.equal(code, 1);
      assert.match(err, new RegExp(`^cupola: the platform does not run; \\./cupola up --data ${data} starts it.*\n$`));
    }
  });

  test('is told in one line where it never started: there are no secrets yet', async (t) => {
    for (const command of ['credentials', 'push', 'trust']) {
      const [code, err] = await said(t, command);
      assert.equal(code, 1);
      assert.equal(err, `cupola: the platform was never started; ./cupola up --data ${data} does it\n`);
    }
  });

  test('`logs` says where there is nothing to show', async (t) => {
    rmSync(join(data, 'logs'), { recursive: true, force: true });
    assert.deepEqual(await said(t, 'logs'), [0, 'there are no logs yet\n']);
    const file = join(data, 'logs/router.log');
    mkdirSync(join(data, 'logs'));
    writeFileSync(file, '');
    assert.deepEqual(await said(t, 'logs', 'router'), [0, 'there is nothing in the log of router yet\n']);
    writeFileSync(`${file}.1`, 'x');
    const anew = `the log of router was begun anew; ${file}.1 has what was before\n`;
    assert.deepEqual(await said(t, 'logs', 'router'), [0, anew]);
    writeFileSync(file, ' \n');
    assert.deepEqual(await said(t, 'logs', 'router'), [0, '']);
    for (const lines of ['foo', '-1', '2x', '']) {
      const [code, err] = await said(t, 'logs', `--lines=${lines}`);
      assert.deepEqual([code, err.split('\n')[0]], [2, `cupola: --lines takes a whole number`]);
    }
  });
});
