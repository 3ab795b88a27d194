import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { connect } from 'node:tls';
import { Logger } from '../../../src/kit/log.ts';
import type { ProcessIdentity } from '../../../src/kit/process.ts';
import { identify } from '../../../src/kit/process.ts';
import { trustedRoots } from '../../../src/platform/authorities.ts';
import { ComponentCertificates } from '../../../src/platform/certificates.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { Supervised } from '../../../src/platform/components/supervised.ts';
import { makeAuthorities } from '../../../src/platform/make-authorities.ts';
import { Rotation } from '../../../src/platform/rotation.ts';
import type { Secrets } from '../../../src/platform/secrets.ts';
import { testSecrets } from '../../support/component-parts.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-rotation-'));
const log = new Logger('test', {}, () => {});
const HOUR_MS = 3_600_000;
let steps: string[];
let secrets: Secrets;
let saved: Secrets[];
let broken: boolean;
/** From which renewal on the component fails, counted down; 0 for never. */
let busyAt: number;
let clock: number;
/** What it renews beside its own. */
let renewToo: () => Promise<unknown>;
let counter = 0;
after(() => rmSync(directory, { recursive: true }));

beforeEach(async () => {
  steps = [];
  saved = [];
  broken = false;
  busyAt = 0;
  renewToo = async () => {};
  clock = Date.now();
  secrets = await testSecrets();
});

/** A platform of one component, which notes what it is given. */
function platform() {
  const certificates = new ComponentCertificates(() => secrets, join(directory, `${counter++}.json`));
  const self = identify(process.pid)!;
  const component: Component = {
    name: 'control',
    account: null,
    stopSignal: 'SIGTERM',
    fingerprint: () => 'same',
    start: async () => self,
    renew: async (running: ProcessIdentity) => {
      if (broken || (busyAt > 0 && --busyAt === 0)) throw new Error('it is busy');
      const { cert, ca } = await certificates.component('control');
      await renewToo();
      const issuer = new X509Certificate(cert).issuer;
      steps.push(`control shows ${issuer.slice(3)}, trusts ${ca.match(/BEGIN/g)?.length}`);
      return running;
    },
  };
  const rotation = new Rotation({
    components: [new Supervised(component, { ...self, fingerprint: 'same' })],
    certificates,
    secrets: () => secrets,
    save: (next) => {
      secrets = next;
      saved.push(next);
      steps.push(`saved ${next.rotation?.phase ?? 'done'}`);
    },
    renewInstances: async () => {
      steps.push('instances');
      return { renewed: 1 };
    },
    rotateSigningKey: async () => void steps.push('uaa'),
    routerRootsChanged: async () => void steps.push('store'),
    changed: () => {},
    settle: async () => void steps.push('settled'),
    log,
    now: () => clock,
  });
  return { rotation, certificates };
}

test('SECURITY 35: new roots are trusted everywhere before they issue, and the former go after the overlap', async () => {
  const { rotation } = platform();
  await rotation.rotate('roots', HOUR_MS);
  assert.deepEqual(steps, [
    'saved announced',
    'control shows Cupola platform root, trusts 2',
    'store',
    'settled',
    'saved retiring',
    'control shows Cupola platform root 2, trusts 2',
    'instances',
  ]);
  await assert.rejects(rotation.rotate('roots', HOUR_MS), { code: 'rotation_under_way' });
  steps = [];
  await rotation.tend();
  assert.deepEqual(steps, [], 'the overlap is not over');
  clock += HOUR_MS + 1;
  await rotation.tend();
  assert.deepEqual(steps, [
    'control shows Cupola platform root 2, trusts 2',
    'instances',
    'saved retired',
    'control shows Cupola platform root 2, trusts 1',
    'store',
    'saved done',
  ]);
  assert.equal(rotation.status, null);
});

test('SECURITY 35: a rotation that a component did not follow goes no further, and is carried on later', async () => {
  const { rotation } = platform();
  broken = true;
  await assert.rejects(rotation.rotate('roots', HOUR_MS), { code: 'not_renewed', message: /control .* it is busy/ });
  assert.equal(rotation.status?.phase, 'announced');
  assert.equal(new X509Certificate(secrets.platformRoot.cert).subject, 'CN=Cupola platform root', 'the former issues');
  broken = false;
  // As another supervisor would, after the first was killed.
  secrets = JSON.parse(JSON.stringify(saved.at(-1))) as Secrets;
  const next = platform();
  await next.rotation.tend();
  assert.equal(next.rotation.status?.phase, 'retiring', 'it is carried on');
});

test('SECURITY 35: a component that did not hear that the former roots are gone is told later', async () => {
  const { rotation } = platform();
  await rotation.rotate('roots', HOUR_MS);
  busyAt = 2; // it takes its certificates once more, and fails where the former roots are taken away
  await assert.rejects(rotation.rotate('roots', 0), { code: 'not_renewed' });
  assert.equal(rotation.status?.phase, 'retired');
  assert.equal(trustedRoots(secrets, 'platform').match(/BEGIN/g)?.length, 1);
  steps = [];
  await platform().rotation.tend();
  assert.deepEqual(steps, ['control shows Cupola platform root 2, trusts 1', 'store', 'saved done']);
});

test('SECURITY 35: with --overlap 0 the former roots go at once, also those of a rotation under way', async () => {
  const { rotation } = platform();
  await rotation.rotate('roots', 0);
  assert.equal(rotation.status, null, 'at once');
  await rotation.rotate('roots', HOUR_MS);
  assert.match(new X509Certificate(secrets.identityRoot.cert).subject, /root 3$/);
  await rotation.rotate('roots', 0);
  assert.equal(rotation.status, null, 'of one under way');
  for (const name of ['platform', 'identity', 'router'] as const) {
    assert.equal(trustedRoots(secrets, name).match(/BEGIN/g)?.length, 1, name);
  }
});

test('certificates are renewed by themselves before they end, and roots in their last year', async () => {
  const { rotation, certificates } = platform();
  await certificates.component('control');
  await rotation.tend();
  assert.deepEqual(steps, []);
  clock += 61 * 24 * HOUR_MS;
  await rotation.tend();
  assert.deepEqual(steps, ['control shows Cupola platform root, trusts 1']);
  clock += 9.1 * 365 * 24 * HOUR_MS;
  await rotation.tend();
  assert.equal(rotation.status?.phase, 'retiring');
});

test('SECURITY 35: while router roots change, clients that know the former and clients that know the new are both served', async (t) => {
  const { rotation, certificates } = platform();
  const former = secrets.routerRoot.cert;
  await rotation.rotate('roots', HOUR_MS);
  const front = await certificates.front('cupola.test');
  const server = createServer({ cert: front.cert, key: front.key }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const verified = (ca: string): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const socket = connect({ host: '127.0.0.1', port, servername: 'x.cupola.test', ca }, () => resolve(true));
    socket.on('error', () => resolve(false));
    return promise.finally(() => socket.destroy());
  };
  assert.equal(await verified(former), true, 'led there by the cross certificate');
  assert.equal(await verified(secrets.routerRoot.cert), true, 'who knows the new one');
  assert.equal(await verified((await makeAuthorities(9)).routerRoot.cert), false, 'who knows neither');
});

test('what is said to be new are the certificates, by the names that `status` has for them', async () => {
  const { rotation, certificates } = platform();
  const front = await certificates.front('cupola.test');
  await certificates.component('supervisor');
  renewToo = () => certificates.front('cupola.test');
  assert.deepEqual(await rotation.rotate('components'), ['new certificates: router-front, control']);
  assert.notEqual(certificates.issued.get('router-front'), front.cert);
});

test('what ends when is known to the supervisor that takes over', async () => {
  const { certificates } = platform();
  await certificates.component('cell', ['cell-0', 'cell']);
  const file = join(directory, `${counter - 1}.json`);
  const next = new ComponentCertificates(() => secrets, file);
  assert.deepEqual(next.expiries(), certificates.expiries());
  assert.ok(next.expiries().some(({ name }) => name === 'cell-0'));
});
