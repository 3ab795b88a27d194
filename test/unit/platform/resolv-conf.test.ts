import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  addNameserver,
  type NameServer,
  nameserversOf,
  removeNameserver,
  textToKeep,
} from '../../../src/platform/host/resolv-conf.ts';

const PLAIN = '# by hand\nsearch corp.example\nnameserver 10.0.0.2\n';
const FORMER = '# The first name server is cupola\'s; "cupola destroy" removes it.';
const A = { id: 'aaa', address: '127.0.53.1' };
const B = { id: 'bbb', address: '127.0.53.2' };
const C = { id: 'ccc', address: '127.0.53.3' };

/** A machine's resolv.conf, and what each installation keeps beside it. */
interface Machine {
  text: string;
  kept: ReadonlyMap<string, string>;
}

function up({ text, kept }: Machine, own: NameServer): Machine {
  const others = new Map([...kept].filter(([id]) => id !== own.id));
  const copy = textToKeep(text, own, kept.get(own.id) ?? null, others);
  return { text: addNameserver(text, own, others), kept: new Map([...others, [own.id, copy]]) };
}

function destroy({ text, kept }: Machine, own: NameServer): Machine {
  return { text: removeNameserver(text, own), kept: new Map([...kept].filter(([id]) => id !== own.id)) };
}

const ups = (...installations: NameServer[]): Machine => installations.reduce(up, { text: PLAIN, kept: new Map() });
const order = ({ text }: Machine) => nameserversOf(text);

describe('the line of one installation', () => {
  test('comes first, the rest stays, without round robin', () => {
    const text = addNameserver(`${PLAIN}options rotate timeout:1\n`, A);
    assert.deepEqual(nameserversOf(text), [A.address, '10.0.0.2']);
    assert.match(text, /^search corp\.example$/m);
    assert.match(text, /^options timeout:1$/m);
  });

  test('is taken out alone, whatever its wording and address', () => {
    const both = ups(A, B).text;
    assert.equal(removeNameserver(both, B), ups(A).text);
    assert.equal(removeNameserver(both, A), ups(B).text);
    assert.equal(removeNameserver(both, { ...A, address: '127.0.53.9' }), ups(B).text);
    assert.equal(removeNameserver(both, { ...C, address: A.address }), both, 'another has its address now');
    assert.equal(removeNameserver(PLAIN, A), PLAIN);
    const former = `${FORMER}\nnameserver ${B.address}\n${FORMER}\nnameserver ${A.address}\n${PLAIN}`;
    assert.equal(removeNameserver(former, A), `${FORMER}\nnameserver ${B.address}\n${PLAIN}`);
    assert.equal(removeNameserver(former, B), `${FORMER}\nnameserver ${A.address}\n${PLAIN}`);
  });

  test('was taken by somebody who left its comment: what stands below that stays', () => {
    const foreign = 'nameserver 10.0.0.2\n';
    const taken = addNameserver(foreign, A).replace(`nameserver ${A.address}\n`, '');
    assert.equal(removeNameserver(taken, A), foreign);
    assert.equal(addNameserver(taken, A), addNameserver(foreign, A));
    assert.equal(removeNameserver(`${FORMER}\n${foreign}`, A), `${FORMER}\n${foreign}`);
  });

  test('has a comment that names its installation', () => {
    assert.match(
      ups(A, B).text,
      /^# 127\.0\.53\.2 is that of Cupola bbb;.*\nnameserver 127\.0\.53\.2\n# 127\.0\.53\.1 .* Cupola aaa;.*\nnameserver 127\.0\.53\.1\n/,
    );
  });
});

describe('the lines of several installations', () => {
  test('stay in their order when one is stopped and started', () => {
    const wanted = [C.address, B.address, A.address, '10.0.0.2'];
    for (const again of [A, B, C]) assert.deepEqual(order(up(ups(A, B, C), again)), wanted, again.id);
  });

  test('come to the right order from one that hides names', () => {
    const { text, kept } = ups(A, B);
    const wrong = { text: addNameserver(text, A), kept };
    assert.deepEqual(order(wrong), [A.address, B.address, '10.0.0.2']);
    for (const again of [A, B]) assert.deepEqual(order(up(wrong, again)), [B.address, A.address, '10.0.0.2'], again.id);
  });

  test('of the former wording are told apart by what is kept', () => {
    const line = ({ address }: NameServer) => `${FORMER}\nnameserver ${address}\n`;
    const [first, second] = [line(A) + PLAIN, line(B) + line(A) + PLAIN];
    const kept = new Map([
      ['aaa', PLAIN],
      ['bbb', first],
      ['ccc', second],
    ]);
    const wanted = [C.address, B.address, A.address, '10.0.0.2'];
    for (const again of [A, B, C])
      assert.deepEqual(order(up({ text: line(C) + second, kept }, again)), wanted, again.id);
    const wrong = { text: line(A) + line(C) + line(B) + PLAIN, kept };
    assert.deepEqual(order(up(wrong, A)), wanted);
  });

  test('come back in their order after the file was written anew, whichever is first', () => {
    for (const [one, two] of [
      [A, B],
      [B, A],
    ] as const) {
      const renewed = { ...ups(A, B), text: 'nameserver 10.0.0.9\n' };
      const machine = up(up(renewed, one), two);
      assert.deepEqual(order(machine), [B.address, A.address, '10.0.0.9']);
      assert.deepEqual(nameserversOf(machine.kept.get('bbb')!), [A.address, '10.0.0.9']);
      assert.deepEqual(nameserversOf(machine.kept.get('aaa')!), ['10.0.0.9']);
    }
  });

  test('one installed anew at its address comes behind whoever asks there still, at another it is first', () => {
    const machine = destroy(ups(A, B), A);
    assert.deepEqual(order(up(machine, A)), [B.address, A.address, '10.0.0.2']);
    const moved = { ...A, address: '127.0.53.7' };
    assert.deepEqual(order(up(machine, moved)), [moved.address, B.address, '10.0.0.2']);
    assert.deepEqual(order(up(up(machine, moved), B)), [moved.address, B.address, '10.0.0.2']);
  });
});

describe('three installations, whatever becomes of them', () => {
  /** As they run: where each name server passes names on to stands fast from its start. */
  interface World extends Machine {
    /** By id. */
    addresses: ReadonlyMap<string, string>;
    upstreams: ReadonlyMap<string, readonly string[]>;
  }

  const IDS = ['aaa', 'bbb', 'ccc'];
  const ADDRESSES = ['127.0.53.1', '127.0.53.2', '127.0.53.3', '127.0.53.4'];
  const empty: World = { text: PLAIN, kept: new Map(), addresses: new Map(), upstreams: new Map() };
  const withEntry = <V>(map: ReadonlyMap<string, V>, key: string, value: V) =>
    new Map([...map, [key, value] as const].sort(([one], [two]) => (one < two ? -1 : 1)));
  const withoutEntry = <V>(map: ReadonlyMap<string, V>, key: string) => new Map([...map].filter(([id]) => id !== key));

  function started(world: World, id: string, address: string): World {
    const { text, kept } = up(world, { id, address });
    const upstreams = world.upstreams.has(id)
      ? world.upstreams
      : withEntry(world.upstreams, id, nameserversOf(kept.get(id)!));
    return {
      text,
      kept: withEntry(kept, id, kept.get(id)!),
      addresses: withEntry(world.addresses, id, address),
      upstreams,
    };
  }

  /** All that can happen next. */
  function next(world: World, lossy: boolean): World[] {
    const taken = new Set(world.addresses.values());
    return [
      ...(lossy ? [{ ...world, text: 'nameserver 10.0.0.9\n' }] : []),
      ...IDS.flatMap((id) => {
        const address = world.addresses.get(id);
        if (address === undefined) {
          return ADDRESSES.filter((one) => !taken.has(one)).map((one) => started(world, id, one));
        }
        const stopped = { ...world, upstreams: withoutEntry(world.upstreams, id) };
        const gone = { ...stopped, ...destroy(world, { id, address }), addresses: withoutEntry(world.addresses, id) };
        return [started(world, id, address), stopped, gone];
      }),
    ];
  }

  /** Whom a name comes to that is asked for there. */
  function reached(from: string, steps: ReadonlyMap<string, readonly string[]>): Set<string> {
    const found = new Set<string>();
    const walk = (address: string): void => {
      for (const step of steps.get(address) ?? []) {
        if (found.has(step)) continue;
        found.add(step);
        walk(step);
      }
    };
    walk(from);
    return found;
  }

  const byAddress = ({ addresses }: World, upstreams: Iterable<readonly [string, readonly string[]]>) =>
    new Map([...upstreams].map(([id, servers]) => [addresses.get(id)!, servers]));

  function explore(lossy: boolean, depth: number, check: (world: World) => void): void {
    const plain = ({ text, ...maps }: World) => JSON.stringify([text, ...Object.values(maps).map((map) => [...map])]);
    const seen = new Set([plain(empty)]);
    let worlds = [empty];
    for (let step = 0; step < depth; step += 1) {
      worlds = worlds
        .flatMap((world) => next(world, lossy))
        .filter((world) => !seen.has(plain(world)) && seen.add(plain(world)));
      for (const world of worlds) check(world);
    }
    assert.ok(seen.size > 500);
  }

  test('no name goes round, though the file is written anew meanwhile', () => {
    explore(true, 4, (world) => {
      const kept = [...world.kept].map(([id, text]) => [id, nameserversOf(text)] as const);
      for (const steps of [byAddress(world, world.upstreams), byAddress(world, kept)])
        for (const address of steps.keys())
          assert.ok(!reached(address, steps).has(address), JSON.stringify([world.text, ...steps]));
    });
  });

  test('once each was stopped and started, in whichever order, the first name server knows the names of all', () => {
    explore(false, 4, (world) => {
      for (const ids of [IDS, IDS.toReversed()]) {
        let again = world;
        for (const id of ids) {
          const address = again.addresses.get(id);
          if (address === undefined) continue;
          again = started({ ...again, upstreams: withoutEntry(again.upstreams, id) }, id, address);
        }
        const [first] = order(again);
        const known = new Set([first, ...reached(first!, byAddress(again, again.upstreams))]);
        for (const address of again.addresses.values())
          assert.ok(known.has(address), JSON.stringify([again.text, ...again.upstreams]));
      }
    });
  });
});
