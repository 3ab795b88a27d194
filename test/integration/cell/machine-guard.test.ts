import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inEmptyNetwork, NETWORK_SKIP as SKIP, source } from '../../support/empty-network.ts';

const GUARD = `
  import { forgetLinks, guardMachine } from ${source('cell/network/machine.ts')};
  const nft = (...args) => execute('nft', ...args);
  const guarded = () => [...nft('list', 'set', 'inet', 'cupola.machine', 'links').matchAll(/"(\\w+\\*)"/g)].map(([, link]) => link).sort();
  const guard = (prefix) => guardMachine('/nonexistent', { prefix });
`;

test('SECURITY 33: cells whose links have names of any length are guarded beside each other, and looked after again and again', {
  skip: SKIP,
}, async () => {
  const prefixes = ['eyca', 'tgh', 'tgb', 'tgi', 'eycb', 'x', 'yz'];
  const guarded = await inEmptyNetwork(`${GUARD}
    for (let round = 0; round < 2; round++) for (const prefix of ${JSON.stringify(prefixes)}) await guard(prefix);
    console.log(JSON.stringify(guarded()));`);
  assert.deepEqual(guarded, prefixes.map((prefix) => `${prefix}*`).sort());
});

test('links of cells that are gone are guarded no more', { skip: SKIP }, async () => {
  const guarded = await inEmptyNetwork(`${GUARD}
    for (const prefix of ['eyca', 'tgh', 'tgb']) await guard(prefix);
    nft('add', 'table', 'inet', 'cupola_tgb');
    await forgetLinks();
    const one = guarded();
    nft('delete', 'table', 'inet', 'cupola_tgb');
    await forgetLinks();
    console.log(JSON.stringify([one, guarded()]));`);
  assert.deepEqual(guarded, [['tgb*'], []]);
});

test('links of a cell that does not add them are guarded as soon as the rules are in force', {
  skip: SKIP,
}, async () => {
  const guarded = await inEmptyNetwork(`${GUARD}
    for (const table of ['cupola_tgb', 'cupola_eyca']) nft('add', 'table', 'inet', table);
    await guardMachine('/nonexistent', { addresses: ['10.9.254.1'] });
    console.log(JSON.stringify(guarded()));`);
  assert.deepEqual(guarded, ['eyca*', 'tgb*']);
});
