import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ensureAccounts, removeAccounts } from '../../../src/platform/host/accounts.ts';
import { installations } from '../../../src/platform/host/installations.ts';

const NOBODY = 65_534;
const SKIP =
  process.getuid?.() !== 0 ? 'needs root' : installations().size > 0 ? 'an installation has the accounts' : false;

test('accounts go once what ran as one of them is gone, and stay with their reason where it stays', {
  skip: SKIP,
}, async (context) => {
  const settings = { id: 'zzq', dataDirectory: '/tmp/cupola-zzq', cells: 1 };
  const { control } = await ensureAccounts(settings);
  context.after(() => removeAccounts(settings));
  const runs = (seconds: string) => spawn('sleep', [seconds], { uid: control.uid, gid: control.gid, cwd: '/' });
  const long = runs('60');
  assert.deepEqual(await removeAccounts(settings), [
    `the account cupola-control stays: process ${long.pid} runs as it`,
  ]);
  long.kill('SIGKILL');
  await once(long, 'close');
  await ensureAccounts(settings);
  runs('1');
  assert.deepEqual(await removeAccounts(settings), []);
  assert.doesNotMatch(readFileSync('/etc/passwd', 'utf8'), /^cupola-/m);
});

test('accounts that go are not those of an installation that comes meanwhile', { skip: SKIP }, async (context) => {
  const going = { id: 'zzq', dataDirectory: '/tmp/cupola-zzq', cells: 1 };
  const coming = { id: 'zzr', dataDirectory: '/tmp/cupola-zzr', cells: 1 };
  const { control } = await ensureAccounts(going);
  context.after(() => removeAccounts(coming));
  spawn('sleep', ['2'], { uid: control.uid, gid: control.gid, cwd: '/' });
  const removed = removeAccounts(going);
  await pause(500);
  const { control: own } = await ensureAccounts(coming);
  assert.deepEqual(await removed, []);
  assert.match(readFileSync('/etc/passwd', 'utf8'), new RegExp(`^cupola-control:x:${own.uid}:`, 'm'));
});

test('SECURITY 22: no account of the machine holds up installations by a lock on what it may read of theirs', {
  skip: SKIP,
  timeout: 120_000,
}, async (context) => {
  const settings = { id: 'zzq', dataDirectory: '/tmp/cupola-zzq', cells: 1 };
  await ensureAccounts(settings);
  const script =
    'for path in $(find /etc/cupola /run/cupola*); do exec {file}< "$path" && flock --nonblock $file && echo "$path"; done; echo all; read';
  const holder = spawn('bash', ['-c', script], { uid: NOBODY, gid: NOBODY, cwd: '/' });
  context.after(async () => {
    holder.stdin.end();
    await once(holder, 'exit');
    await removeAccounts(settings);
  });
  let held = '';
  while (!held.endsWith('all\n')) held += String((await once(holder.stdout, 'data'))[0]);
  assert.match(held, /^\/etc\/cupola$/m);
  await ensureAccounts(settings);
  assert.deepEqual(await removeAccounts(settings), []);
});
