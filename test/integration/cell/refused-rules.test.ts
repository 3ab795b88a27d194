import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';

/*
 * What stands in the packet filter when nft refuses a change of it. It refuses here because somebody took an element away, and takes
 * the change once it is back.
 */
describe('a change that nft refuses', { skip: NETWORK_SKIP }, () => {
  let directory: string;
  let program: string;
  before(async () => {
    directory = await mkdtemp('/run/refused-rules-');
    program = `
      import { CellNetwork } from ${source('cell/network/network.ts')};
      import { Logger } from ${source('kit/log.ts')};
      const settings = { range: '10.231.43.0/24', gateway: '169.254.231.8', mtu: 1450, hostStateDirectory: '${directory}/notes' };
      const network = new CellNetwork('rra', settings, new Logger('test', {}, () => {}));
      const rule = (destination) => ({ protocol: 'tcp', destination, ports: '443', type: -1, code: -1, log: false });
      const NARROW = [rule('192.0.2.1')];
      const WIDE = [rule('0.0.0.0/0')];
      const settled = (promise) => promise.then(() => 'done', () => 'failed');
      const VERDICT = ['element', 'inet', 'cupola_rra', 'egress'];
      const verdict = (number) => new RegExp('10\\\\.231\\\\.43\\\\.' + number + ' : (goto egress_\\\\w+)').exec(execute('nft', 'list', 'map', ...VERDICT.slice(1)))?.[1] ?? null;
      /* Does it where an element is missing that the change is to take away, and puts it back. */
      const refused = async (number, change) => {
        const element = '10.231.43.' + number;
        const before = verdict(number);
        execute('nft', 'delete', ...VERDICT, '{ ' + element + ' }');
        const result = await settled(change());
        execute('nft', 'add', ...VERDICT, '{ ' + element + ' : ' + before + ' }');
        return result;
      };
      const chains = () => execute('nft', 'list', 'table', 'inet', 'cupola_rra').match(/chain egress_/g)?.length ?? 0;
      await network.start([]);
      await network.admit({ number: 1, rules: WIDE });
    `;
  });
  after(() => rm(directory, { recursive: true, force: true }));

  test('NET-01: rules that nft refuses once are in force when it takes them', async () => {
    const result = await inEmptyNetwork(`${program}
      const wide = verdict(1);
      const first = await refused(1, () => network.setRules({ number: 1, rules: NARROW }));
      const kept = verdict(1) === wide;
      const second = await settled(network.setRules({ number: 1, rules: NARROW }));
      console.log(JSON.stringify([first, kept, second, verdict(1) !== wide, chains()]));`);
    assert.deepEqual(result, ['failed', true, 'done', true, 1]);
  });

  test('NET-01: a container whose rules nft refused can be removed, and its number be given to the next', async () => {
    const result = await inEmptyNetwork(`${program}
      const first = await refused(1, () => network.setRules({ number: 1, rules: NARROW }));
      const removed = await settled(network.remove(1));
      const next = await settled(network.admit({ number: 1, rules: NARROW }));
      console.log(JSON.stringify([first, removed, next, chains()]));`);
    assert.deepEqual(result, ['failed', 'done', 'done', 1]);
  });

  test('NET-01: a removal that nft refuses once is done when it is asked again', async () => {
    const result = await inEmptyNetwork(`${program}
      const first = await refused(1, () => network.remove(1));
      const second = await settled(network.remove(1));
      const gone = [verdict(1), chains()];
      const next = await settled(network.admit({ number: 1, rules: NARROW }));
      console.log(JSON.stringify([first, second, gone, next]));`);
    assert.deepEqual(result, ['failed', 'done', [null, 0], 'done']);
  });

  test('NET-01: of changes that come at once nft refuses the one that is wrong, and what the others share with it stays', async () => {
    const result = await inEmptyNetwork(`${program}
      await network.admit({ number: 2, rules: WIDE });
      const results = await Promise.all([
        settled(network.admit({ number: 3, rules: WIDE })),
        refused(1, () => network.setRules({ number: 1, rules: NARROW })),
        settled(network.setRules({ number: 2, rules: NARROW })),
        settled(network.admit({ number: 4, rules: NARROW })),
      ]);
      await settled(network.setRules({ number: 1, rules: NARROW }));
      const same = new Set([1, 2, 4].map(verdict)).size === 1 && verdict(3) !== verdict(1);
      console.log(JSON.stringify([results, same, chains()]));
      await Promise.all([1, 2, 3, 4].map((number) => network.remove(number)));
      if (chains() !== 0) throw new Error('a chain is left');`);
    assert.deepEqual(result, [['done', 'failed', 'done', 'done'], true, 2]);
  });
});
