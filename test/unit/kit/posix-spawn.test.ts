import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { send } from '../../../src/cell/garden/archives.ts';
import { startProgram } from '../../../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT, run } from '../../../src/kit/process.ts';
import { ROOT } from '../../support/project-files.ts';

async function shell(
  script: string,
  { input = '', env = PLAIN_ENVIRONMENT, cwd }: { input?: string; env?: Record<string, string>; cwd?: string } = {},
) {
  const program = startProgram('sh', ['-c', script], { env, cwd });
  program.stdin.on('error', () => {});
  program.stdin.end(input);
  const [stdout, stderr, end] = await Promise.all([text(program.stdout), text(program.stderr), program.ended]);
  return { stdout, stderr, ...end };
}

test('a program gets its words, its environment, a directory and what it reads, and says what it writes', async () => {
  const env = { ...PLAIN_ENVIRONMENT, OWN: 'a b' };
  assert.deepEqual(await shell('echo "$OWN"; pwd; cat; echo no >&2; exit 3', { input: 'read\n', env, cwd: '/usr' }), {
    ...{ stdout: 'a b\n/usr\nread\n', stderr: 'no\n', exitCode: 3, signal: null },
  });
});

test('much goes both ways at once', async () => {
  const input = 'x'.repeat(5_000_000);
  const { stdout, exitCode } = await shell('cat', { input });
  assert.equal(exitCode, 0);
  assert.ok(stdout === input);
});

test('what ends it is told: a signal, and what it does after it closed its outputs', async () => {
  assert.deepEqual(await shell('kill -TERM $$'), { stdout: '', stderr: '', exitCode: null, signal: 'SIGTERM' });
  const late = await shell('echo said; exec >&- 2>&-; sleep 0.1; exit 7');
  assert.deepEqual(late, { stdout: 'said\n', stderr: '', exitCode: 7, signal: null });
});

test('it is killed, and nothing else is once it has ended', async () => {
  const program = startProgram('sleep', ['60'], { env: PLAIN_ENVIRONMENT });
  for (const output of [program.stdout, program.stderr]) output.resume();
  program.kill();
  assert.deepEqual(await program.ended, { exitCode: null, signal: 'SIGKILL' });
  program.kill();
});

test('a reader who goes away ends it, and leaves neither a descriptor nor a dead process', async () => {
  const before = readdirSync('/proc/self/fd').length;
  const program = startProgram('head', ['-c', '10000000', '/dev/zero'], { env: PLAIN_ENVIRONMENT });
  const output = await send(program, new PassThrough());
  output.destroy();
  assert.deepEqual(await program.ended, { exitCode: null, signal: 'SIGKILL' });
  assert.equal(existsSync(`/proc/${program.pid}`), false);
  assert.ok(readdirSync('/proc/self/fd').length <= before + 1);
});

test('words that a program would not see as they are, are refused', () => {
  const refused = { code: 'command_not_started', fields: { errno: 'EINVAL' } };
  const env = PLAIN_ENVIRONMENT;
  assert.throws(() => startProgram('echo', ['a\0b'], { env }), refused);
  assert.throws(() => startProgram('echo', [], { env: { ...env, NAME: 'a\0b' } }), refused);
  assert.throws(() => startProgram('echo', [], { env, cwd: '/usr\0' }), refused);
  assert.throws(() => startProgram('echo', [undefined as unknown as string], { env }), refused);
});

test('it has the descriptors and signals that a child of Node.js has', async () => {
  // Of signals below those that glibc keeps for itself.
  const script = 'ls /proc/self/fd; sed -nE "s/^(Sig(Blk|Ign):).*(.{8})$/\\1 \\3/p" /proc/self/status';
  const { stdout } = spawnSync('sh', ['-c', script], { env: PLAIN_ENVIRONMENT, encoding: 'utf8' });
  assert.match(stdout, /^0\n1\n2\n[\s\S]*SigBlk: 0{8}\nSigIgn: 0{8}\n$/);
  const signals = ({ stdout: said }: { stdout: string }): string => said.replace(/[89a-f](.{7}\n)$/, '0$1');
  // A child of Node.js has, too, what whoever started this process had left open in it.
  assert.equal(signals(await shell(script)), stdout.replace(/^\d{2,}\n/gm, ''));
});

test('what whoever started this process had left open in it is not open in a child', async () => {
  const inner = `import { startProgram } from ${JSON.stringify(join(ROOT, 'src/kit/posix-spawn.ts'))};
    const program = startProgram('ls', ['/proc/self/fd'], { env: { PATH: '/usr/bin:/bin' } });
    program.stdin.end(); program.stderr.resume(); program.stdout.pipe(process.stdout); await program.ended;`;
  const { stdout, stderr } = spawnSync(
    'bash',
    ['-c', 'exec 30</etc/hostname; exec "$0" --input-type=module-typescript -e "$1"', process.execPath, inner],
    { encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  assert.match(stdout, /^0\n1\n2\n/);
  assert.doesNotMatch(stdout, /30/);
});

test('what cannot be started is told by name, and costs no descriptor', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  const start = (command: string, cwd?: string) => () => startProgram(command, [], { env: PLAIN_ENVIRONMENT, cwd });
  for (const [attempt, errno] of [
    [start('cupola-is-nowhere'), 'ENOENT'],
    [start('/etc/passwd'), 'EACCES'],
    [start('true', '/nowhere'), 'ENOENT'],
    [start('/etc'), 'EACCES'],
  ] as const) {
    assert.throws(attempt, { code: 'command_not_started', fields: { errno } });
  }
  assert.equal(open(), before);
  await assert.rejects(run('cupola-is-nowhere', []), { code: 'command_failed' });
});

test('it is looked for where its own environment says, and never in the directory one is in', async () => {
  for (const PATH of ['/etc', '', '.:bin']) {
    assert.throws(() => startProgram('package.json', [], { env: { PATH } }), { fields: { errno: 'ENOENT' } });
  }
  assert.throws(() => startProgram('sh', [], { env: { PATH: '/etc' } }), { fields: { errno: 'ENOENT' } });
  const program = startProgram('true', [], { env: {} });
  for (const output of [program.stdout, program.stderr]) output.resume();
  assert.equal((await program.ended).exitCode, 0);
});

test('many at once end each for itself, and leave nothing', async () => {
  const before = readdirSync('/proc/self/fd').length;
  const said = await Promise.all(Array.from({ length: 40 }, (_, index) => run('sh', ['-c', `exec echo ${index}`])));
  assert.deepEqual(
    said,
    Array.from({ length: 40 }, (_, index) => `${index}\n`),
  );
  assert.ok(readdirSync('/proc/self/fd').length <= before + 2);
});

const ROOT_ALONE = process.getuid?.() === 0 ? false : 'changes the account, which needs root';
test('an account runs it in place of root', { skip: ROOT_ALONE }, async () => {
  const account = { uid: 65_534, gid: 65_533 };
  assert.equal(await run('sh', ['-c', 'id -u; id -g; id -G'], { account }), '65534\n65533\n65533\n');
});
