import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressRange, mergeIntervals, parseAddresses, parsePorts } from '../../../src/cell/network/addresses.ts';
import { compileEgress, type PlainEgressRule } from '../../../src/cell/network/egress.ts';
import { renderTable } from '../../../src/cell/network/ruleset.ts';

const rule = (changes: Partial<PlainEgressRule>): PlainEgressRule => ({
  protocol: 'tcp',
  destination: '10.0.0.0/8',
  ports: '443',
  type: -1,
  code: -1,
  log: false,
  ...changes,
});

test('addresses are read as CIDR, single and range, and anything else is refused', () => {
  assert.deepEqual(parseAddresses('10.0.0.7/8'), { first: 0x0a000000, last: 0x0affffff });
  assert.deepEqual(parseAddresses('1.2.3.4'), { first: 0x01020304, last: 0x01020304 });
  assert.deepEqual(parseAddresses('0.0.0.0-9.255.255.255'), { first: 0, last: 0x09ffffff });
  assert.deepEqual(parseAddresses('0.0.0.0/0'), { first: 0, last: 0xffffffff });
  for (const bad of [
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '2.0.0.0-1.0.0.0',
    '::1',
    'a',
  ]) {
    assert.throws(() => parseAddresses(bad), { code: 'invalid_address' }, bad);
  }
});

test('ports are read as single and range, and anything else is refused', () => {
  assert.deepEqual(parsePorts('80'), { first: 80, last: 80 });
  assert.deepEqual(parsePorts(' 1000-2000 '), { first: 1000, last: 2000 });
  for (const bad of ['', '65536', '2-1', '-1', '80;', '80 accept']) {
    assert.throws(() => parsePorts(bad), { code: 'invalid_port' }, bad);
  }
});

test('overlapping and neighbouring intervals become one', () => {
  const merged = mergeIntervals([
    { first: 5, last: 9 },
    { first: 1, last: 2 },
    { first: 3, last: 6 },
    { first: 20, last: 21 },
  ]);
  assert.deepEqual(merged, [
    { first: 1, last: 9 },
    { first: 20, last: 21 },
  ]);
});

test('a range gives its addresses by number and neither network nor broadcast', () => {
  const range = new AddressRange('10.255.1.0/24');
  assert.equal(range.capacity, 254);
  assert.equal(range.address(1), '10.255.1.1');
  assert.equal(range.address(254), '10.255.1.254');
  assert.throws(() => range.address(255), { code: 'out_of_addresses' });
});

test('NET-02: lists that allow the same are the same chain, whatever their order', () => {
  const rules = [rule({}), rule({ protocol: 'udp', ports: '53' }), rule({ protocol: 'all', destination: '1.1.1.1' })];
  assert.deepEqual(compileEgress(rules), compileEgress([...rules.toReversed(), rule({ destination: '10.1.2.3/8' })]));
  assert.notEqual(compileEgress(rules).name, compileEgress(rules.slice(1)).name);
});

test('rules become nft text made of numbers only', () => {
  const { rules } = compileEgress([
    rule({ destination: '10.0.0.0/8,10.1.0.0/16,1.2.3.4', ports: '443,80-90,85' }),
    rule({ protocol: 'icmp', type: 8, code: -1 }),
    rule({ protocol: 'all', log: true }),
  ]);
  assert.deepEqual(rules, [
    'ip daddr { 1.2.3.4, 10.0.0.0-10.255.255.255 } tcp dport { 80-90, 443 } accept',
    'ip daddr { 10.0.0.0-10.255.255.255 } ip protocol icmp icmp type 8 accept',
    'ip daddr { 10.0.0.0-10.255.255.255 } log prefix "cupola allowed " group 5 accept',
  ]);
  for (const bad of [{ type: 256 }, { type: 1.5 }, { code: -2 }]) {
    assert.throws(() => compileEgress([rule({ protocol: 'icmp', type: 0, code: 0, ...bad })]), {
      code: 'invalid_egress_rule',
    });
  }
});

test('the packet filter ends every path of a container with a refusal', () => {
  const settings = { range: '10.255.1.0/24', gateway: '169.254.1.1', mtu: 1450 };
  const text = renderTable('c', settings, [{ link: 'c1', address: '10.255.1.1', chain: compileEgress([]) }]);
  for (const chain of ['from_container', 'to_host', 'between']) {
    assert.match(text, new RegExp(`chain ${chain} \\{[^}]*(?:\\{[^}]*\\}[^}]*)*goto denied\\n  \\}`), chain);
  }
  assert.match(
    text,
    /ip daddr 169\.254\.0\.0\/16 goto denied\n {4}ip daddr 10\.255\.1\.0\/24 goto between\n {4}ip saddr vmap @egress/,
  );
});

test('SECURITY 33: of this machine a container is offered its name server and the router’s ports, the latter by its own rules', () => {
  const text = renderTable(
    'xyza',
    {
      range: '10.200.0.0/24',
      overlay: '10.200.0.0/16',
      gateway: '169.254.1.1',
      mtu: 1450,
      machinePrefix: 'xyz',
      router: { address: '10.200.254.254', ports: [443, 80] },
      cellAddress: '10.200.254.1',
    },
    [],
  );
  assert.match(text, /ip daddr 10\.200\.254\.254 tcp dport \{ 443, 80 \} ip saddr vmap @egress\n {4}goto denied/);
  assert.match(text, /iifname != "lo" ip daddr 10\.200\.254\.1 goto denied/);
  assert.match(text, /ip daddr 10\.200\.0\.0\/16 goto between/, 'containers of other cells need a policy too');
  assert.match(text, /ip daddr != 10\.200\.0\.0\/16 oifname != "xyz\*" masquerade/);
});
