import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  addNameserver,
  installationsIn,
  type NameServer,
  nameserversOf,
  removeNameserver,
  withoutInstallations,
} from '../../../src/platform/host/resolv-conf.ts';

const PLAIN = '# by hand\nsearch corp.example\nnameserver 10.0.0.2\n';
const FORMER = '# The first name server is cupola\'s; "cupola destroy" removes it.';
const A = { id: 'aaa', address: '127.0.53.1' };
const B = { id: 'bbb', address: '127.0.53.2' };
const C = { id: 'ccc', address: '127.0.53.3' };

const withAll = (...installations: NameServer[]): string => installations.reduce(addNameserver, PLAIN);

describe('the line of one installation', () => {
  test('comes first, the rest stays, without round robin', () => {
    const text = addNameserver(`${PLAIN}options rotate timeout:1\n`, A);
    assert.deepEqual(nameserversOf(text), [A.address, '10.0.0.2']);
    assert.match(text, /^search corp\.example$/m);
    assert.match(text, /^options timeout:1$/m);
  });

  test('is taken out alone, whatever its wording and address', () => {
    const both = withAll(A, B);
    assert.equal(removeNameserver(both, B), withAll(A));
    assert.equal(removeNameserver(both, A), withAll(B));
    assert.equal(removeNameserver(both, { ...A, address: '127.0.53.9' }), withAll(B));
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
      withAll(A, B),
      /^# 127\.0\.53\.2 is that of Cupola bbb;.*\nnameserver 127\.0\.53\.2\n# 127\.0\.53\.1 .* Cupola aaa;.*\nnameserver 127\.0\.53\.1\n/,
    );
  });
});

describe('the lines of several installations', () => {
  test('stand in the order in which they came, the last one first', () => {
    assert.deepEqual(nameserversOf(withAll(A, B, C)), [C.address, B.address, A.address, '10.0.0.2']);
    assert.deepEqual(nameserversOf(withAll(A, B, A)), [A.address, B.address, '10.0.0.2']);
    assert.deepEqual(nameserversOf(withAll(A, B, { ...C, address: A.address })), [A.address, B.address, '10.0.0.2']);
    assert.deepEqual(installationsIn(withAll(A, B, { ...C, address: A.address })), ['ccc', 'bbb']);
  });

  test('are told apart from what is the machine’s, of the former wording too', () => {
    assert.equal(withoutInstallations(withAll(A, B)), PLAIN);
    assert.equal(withoutInstallations(`${FORMER}\nnameserver ${C.address}\n${withAll(A, B)}`), PLAIN);
    const taken = withAll(A).replace(`nameserver ${A.address}\n`, '');
    assert.equal(withoutInstallations(taken), PLAIN);
  });
});
