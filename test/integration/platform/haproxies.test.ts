import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { processesWith } from '../../../src/kit/process.ts';
import { findHaproxies } from '../../../src/platform/engines/haproxy.ts';

/** An account that needs no name. */
const UID = 64_341;
const CONFIG = '/run/cupola-zzx/haproxy.cfg';

test('SECURITY: an account that starts processes again and again keeps no router from being started', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, async () => {
  const script = `while :; do bash -c 'sleep 2; :' haproxy ${CONFIG} & sleep 0.05; done`;
  const child = spawn('bash', ['-c', script], { uid: UID, gid: UID, cwd: '/', detached: true, stdio: 'ignore' });
  const end = (): boolean => process.kill(-child.pid!, 'SIGKILL');
  const late = setTimeout(end, 20_000);
  try {
    while (processesWith(UID, CONFIG).length === 0) await pause(20);
    const found = await findHaproxies({ uid: UID, configFile: CONFIG, adminSocket: '/nonexistent' }, [], 1_000);
    assert.equal(found.serving, null);
    assert.ok(found.others.length > 0, 'they are known, and can be ended');
  } finally {
    clearTimeout(late);
    if (child.exitCode === null && child.signalCode === null) end();
  }
});
