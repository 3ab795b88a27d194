import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CredentialDirectories } from '../../../src/cell/identity/credentials.ts';
import { keepRenewed } from '../../../src/cell/identity/renewal.ts';
import { eventually } from '../../support/fake-control.ts';

const directory = mkdtempSync(join(tmpdir(), 'rep-identity-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('IID-10: new credentials take the place of the old by rename', async () => {
  const credentials = new CredentialDirectories(directory);
  const path = await credentials.prepare('one');
  await credentials.write('one', { cert: 'first', key: 'k1' }, 2000);
  const before = statSync(join(path, 'instance.crt'));
  await credentials.write('one', { cert: 'second', key: 'k2' }, 2000);
  const now = statSync(join(path, 'instance.crt'));
  assert.notEqual(now.ino, before.ino);
  assert.equal(now.mode & 0o777, 0o400);
  assert.equal(now.uid, 2000);
  assert.equal(readFileSync(join(path, 'instance.key'), 'utf8'), 'k2');
  await credentials.remove('one');
  assert.equal(await credentials.read('one'), null);
});

test('IID-10: renewal comes before the end, is tried again when it fails, and goes on', async () => {
  let renewals = 0;
  let failures = 0;
  const day = 24 * 3_600_000;
  const renewal = keepRenewed({
    expiresAt: Date.now() + day,
    now: Date.now,
    leadMs: day - 20,
    renew: async () => {
      renewals += 1;
      return { cert: '', key: '' };
    },
    failed: () => {
      failures += 1;
    },
  });
  const held = setTimeout(() => {}, 5_000); // renewal alone keeps no process alive
  await eventually('it renews twice', () => renewals >= 2);
  clearTimeout(held);
  renewal.stop();
  const after = renewals;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(renewals, after);
  assert.equal(failures, 0);
});

test('SECURITY 35: credentials are renewed out of turn, and a failure is told and tried again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let renewals = 0;
  let broken = true;
  let gate: Promise<void> | null = null;
  const told: unknown[] = [];
  const renewal = keepRenewed({
    expiresAt: 1_000,
    now: () => 0,
    leadMs: -1_000_000,
    renew: async () => {
      renewals += 1;
      await gate;
      if (broken) throw new Error('the disk is full');
      return { cert: '', key: '' };
    },
    failed: (error) => told.push(error),
  });
  await assert.rejects(renewal.now(), /the disk is full/);
  assert.equal(renewal.expiresAt, 1_000);
  assert.match(String(told), /the disk is full/);
  broken = false;
  t.mock.timers.tick(60_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(renewals, 2, 'it is tried again by itself');
  assert.equal(renewal.expiresAt, 24 * 3_600_000);

  const held = Promise.withResolvers<void>();
  gate = held.promise;
  const underWay = renewal.now();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(renewals, 3);
  const asked = renewal.now();
  held.resolve();
  await Promise.all([underWay, asked]);
  assert.equal(renewals, 4, 'one that had begun may be of an authority of before');

  renewal.stop();
  await renewal.now();
  assert.equal(renewals, 4, 'what is stopped renews no more');
});
