import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { holderOf, lockDirectory, lockFile } from '../../../src/kit/lock.ts';
import { identify } from '../../../src/kit/process.ts';

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

test('the process that holds a lock is told as long as it holds it, and no other that its number is written of', () => {
  const file = join(directory, 'holder');
  assert.equal(holderOf(file), null);
  {
    using _ = lockFile(file, 'supervisor');
    assert.deepEqual(holderOf(file), identify(process.pid));
  }
  assert.equal(holderOf(file), null);
  writeFileSync(file, '1 supervisor\n');
  assert.equal(holderOf(file), null);
});

test('a link in the place of a lock file is not followed, and nothing is written where it leads', () => {
  const [link, there] = [join(directory, 'link'), join(directory, 'there')];
  writeFileSync(there, 'kept');
  symlinkSync(there, link);
  assert.throws(() => lockFile(link, 'removal'), { code: 'ELOOP' });
  assert.equal(readFileSync(there, 'utf8'), 'kept');
});

test('who holds a lock is told by the beginning of the very file, however long it is', () => {
  const file = join(directory, 'long');
  using _ = lockFile(file, 'up');
  appendFileSync(file, 'x'.repeat(1_000_000));
  assert.throws(() => lockFile(file, 'destroy'), { message: `process ${process.pid} ("up") holds ${file}` });
  writeFileSync(file, `1 ${'x'.repeat(1_000_000)}`);
  assert.throws(
    () => lockFile(file, 'destroy'),
    ({ message }: Error) => message.length < 5_000,
  );
});

test('nobody waits for what a pipe in the place of a lock file says of its holder', { timeout: 20_000 }, async () => {
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const holder = spawn('bash', ['-c', 'exec 9<>"$1"; flock 9; echo held; read', 'bash', pipe]);
  await once(holder.stdout, 'data');
  const program = `import { lockFile } from ${JSON.stringify(join(import.meta.dirname, '../../../src/kit/lock.ts'))};
    try { lockFile(${JSON.stringify(pipe)}, 'up'); } catch ({ code, message }) { console.log(code, message); }`;
  const asking = promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', program], {
    timeout: 10_000,
  });
  try {
    assert.equal((await asking).stdout, `locked another process holds ${pipe}\n`);
  } finally {
    holder.stdin.end();
    await once(holder, 'exit');
  }
});

test('a lock file that its holder removed is held by one at a time all the same', async () => {
  const other = join(directory, 'removed');
  const program = `import { lockFile } from ${JSON.stringify(join(import.meta.dirname, '../../../src/kit/lock.ts'))};
    import { closeSync, openSync, unlinkSync } from 'node:fs';
    for (let taken = 0; taken < 500; ) {
      let lock;
      try {
        lock = lockFile(${JSON.stringify(other)}, 'destroy');
      } catch (error) {
        if (error.code !== 'locked') throw error;
        continue;
      }
      closeSync(openSync(${JSON.stringify(`${other}.alone`)}, 'wx')); // fails where another holds it too
      unlinkSync(${JSON.stringify(`${other}.alone`)});
      lock.remove();
      taken++;
    }`;
  await Promise.all(
    [1, 2, 3].map(async () => {
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const [code] = await once(child, 'exit');
      assert.equal(code, 0);
    }),
  );
  assert.equal(existsSync(other), false, 'the last to remove it leaves nothing');
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

test('those who want a directory take turns with it, though each removes it, and none waits for ever', async () => {
  const shared = join(directory, 'shared');
  let inside = 0;
  let most = 0;
  const turn = async () => {
    using _ = await lockDirectory(shared);
    inside += 1;
    most = Math.max(most, inside);
    await new Promise((resolve) => setTimeout(resolve, 2));
    rmSync(shared, { recursive: true });
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 12 }, turn));
  assert.equal(most, 1);
  using _held = await lockDirectory(shared);
  await assert.rejects(lockDirectory(shared, 50), { code: 'locked' });
});

test('SECURITY 22: what is locked is closed to other accounts, who hold what they may read', async () => {
  const [file, open] = [join(directory, 'file'), join(directory, 'open')];
  mkdirSync(open, { mode: 0o755 });
  using _file = lockFile(file, 'up');
  using _directory = await lockDirectory(open);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(statSync(open).mode & 0o777, 0o700);
});
