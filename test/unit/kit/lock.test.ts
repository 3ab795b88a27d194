import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lockFile } from '../../../src/kit/lock.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-lock-'));
const path = join(directory, 'lock');
after(() => rmSync(directory, { recursive: true }));

test('a lock that is held is refused with who holds it, and free again afterwards', () => {
  {
    using _ = lockFile(path, 'up');
    assert.throws(() => lockFile(path, 'destroy'), {
      code: 'locked',
      message: new RegExp(`${process.pid} \\("up"\\)`),
    });
  }
  lockFile(path, 'down')[Symbol.dispose]();
});

test('the lock of a process that was killed is free', async () => {
  const program = `import { lockFile } from ${JSON.stringify(join(import.meta.dirname, '../../../src/kit/lock.ts'))};
    lockFile(${JSON.stringify(path)}, 'up'); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  assert.throws(() => lockFile(path, 'up'), { code: 'locked' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockFile(path, 'up')[Symbol.dispose]();
});
