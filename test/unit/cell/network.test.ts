import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressRange, mergeIntervals } from '../../../src/cell/network/addresses.ts';
import { compileEgress, type PlainEgressRule } from '../../../src/cell/network/egress.ts';
import { renderTable } from '../../../src/cell/network/ruleset.ts';
import { CONNECTIONS } from '../../../src/cell/network/shares.ts';

const rule = (changes: Partial<PlainEgressRule>): PlainEgressRule => ({
  protocol: 'tcp',
  destination: '10.0.0.0/8',
  ports: '443',
  type: -1,
  code: -1,
  log: false,
  ...changes,
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
  const rules = [
    rule({}),
    rule({ protocol: 'udp', ports: '53' }),
    rule({ protocol: 'all', destination: '1.1.1.1', ports: '' }),
  ];
  assert.deepEqual(compileEgress(rules), compileEgress([...rules.toReversed(), rule({ destination: '10.1.2.3/8' })]));
  assert.notEqual(compileEgress(rules).name, compileEgress(rules.slice(1)).name);
});

test('rules become nft text made of numbers only', () => {
  const { rules } = compileEgress([
    rule({ destination: '10.0.0.0/8,10.1.0.0/16,1.2.3.4', ports: '443,80-90,85' }),
    rule({ protocol: 'icmp', ports: '', type: 8, code: -1 }),
    rule({ protocol: 'all', ports: '', log: true }),
  ]);
  assert.deepEqual(rules, [
    'ip daddr { 1.2.3.4, 10.0.0.0-10.255.255.255 } tcp dport { 80-90, 443 } accept',
    'ip daddr { 10.0.0.0-10.255.255.255 } ip protocol icmp icmp type 8 accept',
    'ip daddr { 10.0.0.0-10.255.255.255 } log prefix "cupola allowed " group 5 accept',
  ]);
});

test('NET-01: a rule that cannot be read is named and allows nothing, and the others stand', () => {
  const fine = rule({ destination: '192.0.2.0/24' });
  for (const bad of [
    rule({ destination: '10.0.0.0/08' }),
    rule({ destination: '0.0.0.0/0 accept; flush ruleset' }),
    rule({ ports: '80; accept' }),
    rule({ ports: '' }),
    rule({ protocol: 'gre' }),
    rule({ protocol: 'icmp', ports: '', type: 256, code: 0 }),
  ]) {
    const { ignored, ...chain } = compileEgress([fine, bad]);
    assert.deepEqual(
      ignored.map(({ index, problems }) => [index, problems.length]),
      [[1, 1]],
    );
    assert.deepEqual({ ...chain, ignored: [] }, compileEgress([fine]));
  }
});

test('the packet filter ends every path of a container with a refusal', () => {
  const settings = { range: '10.255.1.0/24', gateway: '169.254.1.1', mtu: 1450 };
  const text = renderTable('c', settings, [{ link: 'c1', address: '10.255.1.1', chain: compileEgress([]) }]);
  for (const chain of ['from_container', 'to_host', 'between']) {
    assert.match(text, new RegExp(`chain ${chain} \\{[^}]*(?:\\{[^}]*\\}[^}]*)*goto denied\\n  \\}`), chain);
  }
  const judged = text.slice(text.indexOf('chain from_container'), text.indexOf('chain to_container'));
  const order = [
    /ip daddr \{ 169\.254\.0\.0\/16, 168\.63\.129\.16\/32, .*\} goto denied\n/,
    new RegExp(`ip saddr ct count over ${CONNECTIONS} \\} goto denied\\n`),
    /ip daddr 10\.255\.1\.0\/24 goto between\n/,
    /ip saddr vmap @egress\n/,
  ].map((line) => judged.search(line));
  assert.ok(!order.includes(-1), judged);
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
    'metadata services and shares come before what a rule allows',
  );
});

test('SECURITY 33: a packet of a container is judged by its sender only where its link and its address belong together', () => {
  const settings = { range: '10.255.1.0/24', gateway: '169.254.1.1', mtu: 1450 };
  const text = renderTable('c', settings, [{ link: 'c1', address: '10.255.1.1', chain: compileEgress([]) }]);
  for (const chain of ['from_container', 'to_host']) {
    assert.match(
      text,
      new RegExp(`chain ${chain} \\{\\n +meta nfproto ipv6 drop\\n +iifname \\. ip saddr != @bind drop\\n`),
    );
  }
  assert.match(text, /add element inet cupola_c bind \{ "c1" \. 10\.255\.1\.1 \}/);
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
      callers: [997],
    },
    [],
  );
  assert.match(text, /ip daddr 10\.200\.254\.254 tcp dport \{ 443, 80 \} ip saddr vmap @egress\n {4}goto denied/);
  assert.match(text, /meta skuid \{ 0, 997 \} accept\n {4}goto denied/, 'the proxy and root reach containers');
  assert.match(text, /ip daddr 10\.200\.0\.0\/16 goto between/, 'containers of other cells need a policy too');
  assert.match(text, /ip daddr != 10\.200\.0\.0\/16 oifname != "xyz\*" masquerade/);
});
