import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { LayerProofs } from '../../../src/cell/images/layer-proofs.ts';

const layer = { origin: 'one', digest: 'sha256:1' };

/** Readings of a layer that end when the test says. */
function readings(proofs: LayerProofs, claim = layer) {
  const begun: PromiseWithResolvers<void>[] = [];
  const read = async () => {
    const reading = Promise.withResolvers<void>();
    begun.push(reading);
    await reading.promise;
    proofs.add(claim);
  };
  return { begun, prove: (signal: AbortSignal) => proofs.prove({ ...claim, read }, signal) };
}

test('SECURITY 24: a proof holds for its origin and its digest alone', async () => {
  const proofs = new LayerProofs();
  proofs.add(layer);
  assert.equal(proofs.has(layer), true);
  for (const other of [
    { ...layer, origin: 'two' },
    { ...layer, digest: 'sha256:2' },
  ]) {
    assert.equal(proofs.has(other), false);
    const refused = async () => Promise.reject(new Error('not there'));
    await assert.rejects(proofs.prove({ ...other, read: refused }, new AbortController().signal), /not there/);
    assert.equal(proofs.has(other), false);
  }
});

test('who asks for the proof of one layer at a time has it read once, and its failure is everybody’s', async () => {
  const proofs = new LayerProofs();
  const { begun, prove } = readings(proofs);
  const { signal } = new AbortController();
  const failing = [prove(signal), prove(signal)];
  begun[0]!.reject(new Error('not there'));
  for (const one of failing) await assert.rejects(one, /not there/);
  const proving = [prove(signal), prove(signal)];
  begun[1]!.resolve();
  await Promise.all(proving);
  await prove(signal);
  assert.equal(begun.length, 2);
});

test('a reading ends with who began it; who waited for it begins anew', async () => {
  const proofs = new LayerProofs();
  const { begun, prove } = readings(proofs);
  const stopping = new AbortController();
  const first = prove(stopping.signal);
  const second = prove(new AbortController().signal);
  stopping.abort(new Error('stopped'));
  begun[0]!.reject(new Error('stopped'));
  await assert.rejects(first, /stopped/);
  await new Promise(setImmediate);
  begun[1]!.resolve();
  await second;
  assert.equal(begun.length, 2);
});

test('who waits for another’s reading leaves it at their own end, and it goes on', async () => {
  const proofs = new LayerProofs();
  const { begun, prove } = readings(proofs);
  const stopping = new AbortController();
  const first = prove(new AbortController().signal);
  const second = prove(stopping.signal);
  stopping.abort(new Error('stopped'));
  await assert.rejects(Promise.race([second, setTimeout(1000, 'it waits', { ref: false })]), /stopped/);
  begun[0]!.resolve();
  await first;
  assert.equal(begun.length, 1);
});

test('SECURITY 25: of proofs the oldest are forgotten', () => {
  const proofs = new LayerProofs(2);
  const claims = ['1', '2', '3'].map((digest) => ({ ...layer, digest }));
  for (const claim of claims) proofs.add(claim);
  assert.deepEqual(
    claims.map((claim) => proofs.has(claim)),
    [false, true, true],
  );
});
