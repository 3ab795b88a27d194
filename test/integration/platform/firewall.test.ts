import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';

/** What the doctor says where the packet filter has these tables, in nft's words. */
function said(rules: string): Promise<unknown> {
  return inEmptyNetwork(`
    import { firewallFindings } from ${source('platform/doctor/firewall.ts')};
    import { guardMachine } from ${source('cell/network/machine.ts')};
    await guardMachine('/run', { addresses: ['10.9.254.1'], prefix: 'abca' });
    ${rules === '' ? '' : `execute('nft', ${JSON.stringify(rules)});`}
    const findings = await firewallFindings('abc', '10.9.0.0/16');
    console.log(JSON.stringify(findings.map(({ state, what, advice }) => [state, what, advice ?? null])));`);
}

/** A table with chains for packets that come in and that go through, and rules for the latter. */
const table = (name: string, policy: string, forward = ''): string =>
  `table ${name} {
    chain INPUT { type filter hook input priority filter; policy ${policy}; }
    chain FORWARD { type filter hook forward priority filter; policy ${policy}; ${forward} }
    chain OUTPUT { type filter hook output priority filter; policy accept; }
  }`;

test('the doctor names rules of others that drop containers’ packets, and what lets those through', {
  skip: NETWORK_SKIP,
}, async () => {
  assert.deepEqual(await said(''), [['ok', 'rules of others', null]], 'Cupola’s own');
  assert.deepEqual(await said(table('ip filter', 'accept')), [['ok', 'rules of others', null]]);
  assert.deepEqual(await said(table('ip6 filter', 'drop')), [['ok', 'rules of others', null]]);
  const outside = 'containers reach nothing outside until it lets them through: ';
  const names = 'containers reach no name server until it lets them through: ';
  assert.deepEqual(await said(table('ip filter', 'drop')), [
    ['warn', 'input: ip filter INPUT', `${names}iptables -I INPUT -i abc+ -j ACCEPT`],
    [
      'warn',
      'forward: ip filter FORWARD',
      `${outside}iptables -I FORWARD -i abc+ -j ACCEPT; iptables -I FORWARD -o abc+ -j ACCEPT`,
    ],
  ]);
  assert.deepEqual(await said(table('inet strict', 'drop')), [
    ['warn', 'input: inet strict INPUT', `${names}nft insert rule inet strict INPUT iifname "abc*" accept`],
    [
      'warn',
      'forward: inet strict FORWARD',
      `${outside}nft insert rule inet strict FORWARD iifname "abc*" accept; nft insert rule inet strict FORWARD oifname "abc*" accept`,
    ],
  ]);
  const [, firewalld] = (await said(table('inet firewalld', 'accept'))) as string[][];
  assert.match(String(firewalld), /^warn,forward: .*--add-source=10\.9\.0\.0\/16/);
});

test('rules of others that know the containers are fine', { skip: NETWORK_SKIP }, async () => {
  for (const rule of ['iifname "abc*" accept;', 'iifname "abca*" counter accept;']) {
    const rules = table('ip filter', 'drop', rule);
    assert.deepEqual(
      ((await said(rules)) as string[][]).map(([state]) => state),
      ['ok', 'ok'],
      rule,
    );
  }
});
