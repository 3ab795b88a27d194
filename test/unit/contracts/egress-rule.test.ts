import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type EgressRuleText,
  parseAddress,
  parseAddresses,
  parseEgressRule,
  parsePorts,
} from '../../../src/contracts/egress-rule.ts';

const rule = (changes: Partial<EgressRuleText>): EgressRuleText => ({
  protocol: 'tcp',
  destination: '10.0.0.0/8',
  ports: '443',
  ...changes,
});

test('addresses are read as CIDR, single and range, and anything else is refused', () => {
  assert.equal(parseAddress('1.2.3.4'), 0x01020304);
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
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/8-10.0.0.9',
    '2.0.0.0-1.0.0.0',
    '1.0.0.0-',
    '-1.0.0.0',
    '1.0.0.0-2.0.0.0-3.0.0.0',
    '::1',
    'a',
  ]) {
    assert.equal(parseAddresses(bad), null, bad);
  }
});

test('ports are read as single and range, and anything else is refused', () => {
  assert.deepEqual(parsePorts('80'), { first: 80, last: 80 });
  assert.deepEqual(parsePorts(' 1000-2000 '), { first: 1000, last: 2000 });
  for (const bad of ['', '0', '0-5', '65536', '2-1', '-1', '1-', '80;', '80 accept', '1 - 2', '1-2-3']) {
    assert.equal(parsePorts(bad), null, bad);
  }
});

test('a rule becomes numbers, or all that is wrong with it is said', () => {
  assert.deepEqual(parseEgressRule(rule({ destination: '1.1.1.1,2.0.0.0/8', ports: '1,5-6' })), {
    rule: {
      protocol: 'tcp',
      destinations: [
        { first: 0x01010101, last: 0x01010101 },
        { first: 0x02000000, last: 0x02ffffff },
      ],
      ports: [
        { first: 1, last: 1 },
        { first: 5, last: 6 },
      ],
    },
  });
  const icmp = parseEgressRule({ protocol: 'icmp', destination: '1.1.1.1', type: -1, code: 0 });
  assert.deepEqual('rule' in icmp && { ...icmp.rule, destinations: [] }, {
    protocol: 'icmp',
    destinations: [],
    type: null,
    code: 0,
  });
  const both = parseEgressRule(rule({ destination: '10.0.0.0/08', ports: '' }));
  assert.ok('problems' in both);
  assert.match(both.problems.join('\n'), /^destination must contain valid CIDR.*\nports are required/);
  for (const bad of [
    rule({ protocol: 'gre' }),
    rule({ protocol: 'all' }),
    rule({ destination: '1.1.1.1, 2.2.2.2' }),
    rule({ destination: `${'1.1.1.1,'.repeat(6000)}1.1.1.1` }),
    { protocol: 'icmp', destination: '1.1.1.1', type: 256, code: 0 },
    { protocol: 'icmp', destination: '1.1.1.1', type: 8, code: 1.5 },
    { protocol: 'icmp', destination: '1.1.1.1', type: 8 },
  ]) {
    const reading = parseEgressRule(bad);
    assert.equal('problems' in reading && reading.problems.length, 1, JSON.stringify(bad).slice(0, 100));
  }
});
