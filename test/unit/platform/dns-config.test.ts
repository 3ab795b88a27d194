import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type DomainServer, renderDnsConfig, renderServers } from '../../../src/platform/host/dns-config.ts';
import { forgetInstallation, noteInstallation } from '../../../src/platform/host/installations.ts';
import { otherSettings } from '../../../src/platform/host/shared-addresses.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { testSettings } from '../../support/settings.ts';

const settings = testSettings();
const server = (domain: string, resolverAddress: string): DomainServer => ({ domain, resolverAddress });

describe('the configuration of a name server', () => {
  test('leads the domain and every name below it to the router, other names to servers that may change', () => {
    const lines = renderDnsConfig(settings, 'machine', '/run/servers.conf').split('\n');
    assert.deepEqual(
      lines.filter((line) => /^(listen-address|address|local|server|servers-file)=/.test(line)),
      [
        'listen-address=127.0.53.1',
        'address=/cupola.localhost/127.0.0.1',
        'local=/cupola.localhost/',
        'servers-file=/run/servers.conf',
      ],
    );
    for (const line of ['no-hosts', 'no-resolv', 'bind-interfaces', 'port=53']) assert.ok(lines.includes(line), line);
  });

  test('NET-01: containers ask at their gateway, and every name of the domain leads them to the router inside', () => {
    const lines = renderDnsConfig({ ...settings, bindAddress: '192.0.2.7' }, 'containers', '/servers').split('\n');
    assert.ok(lines.includes('address=/cupola.localhost/10.200.254.254'));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('listen-address=')),
      ['listen-address=169.254.1.1'],
    );
  });

  test('of a platform bound to every address leads to the loopback one', () => {
    const config = renderDnsConfig({ ...settings, bindAddress: '0.0.0.0' }, 'machine', '/servers');
    assert.match(config, /^address=\/cupola\.localhost\/127\.0\.0\.1$/m);
  });
});

describe('whom it asks', () => {
  test('is each other installation for its domain, and the machine’s own name servers for the rest', () => {
    const others = [server('B.example', '127.0.53.2'), server('below.cupola.localhost', '127.0.53.3')];
    assert.equal(
      renderServers(settings, 'machine', others, ['10.0.0.2', 'fe80::1', '127.0.53.1', '127.0.53.3']),
      [
        'server=/b.example/127.0.53.2',
        'server=/below.cupola.localhost/127.0.53.3',
        'server=10.0.0.2',
        'server=fe80::1',
        '',
      ].join('\n'),
    );
  });

  test('is the machine’s own name servers for all that containers ask, and nobody for what is below .localhost', () => {
    const others = [
      server('b.example', '127.0.53.2'),
      server('other.localhost', '127.0.53.3'),
      server('localhost', '127.0.53.4'),
    ];
    assert.equal(
      renderServers(settings, 'containers', others, ['10.0.0.2', '127.0.53.2']),
      ['server=/b.example/#', 'server=/other.localhost/', 'server=/localhost/', 'server=10.0.0.2', ''].join('\n'),
    );
  });

  test('is never itself, and one alone for a domain that two have', () => {
    const others = [
      server('Cupola.Localhost', '127.0.53.2'),
      server('b.example', '127.0.53.1'),
      server('c.example', '127.0.53.3'),
      server('c.example', '127.0.53.4'),
    ];
    assert.equal(renderServers(settings, 'machine', others, []), 'server=/c.example/127.0.53.3\n');
  });

  test('is nobody whose domain or address is none', () => {
    const bad = [
      ...['', '.', 'a..b', '#', 'a/b', 'a b', 'a.example\nconf-file=/x', `${'a'.repeat(64)}.b`, 'a.', '10.0.0.1'],
      'a.b.'.repeat(70),
    ].map((domain) => server(domain, '127.0.53.2'));
    const addresses = ['', '127.0.53', '127.0.53.2#54', '127.0.53.2\nport=1'].map((one) => server('b.example', one));
    assert.equal(
      renderServers(settings, 'machine', [...bad, ...addresses], ['/x/10.0.0.1', 'dns.example', '10.0.0.2@eth0']),
      '',
    );
  });
});

test('the other installations of a machine are those that it has now, with what their settings say', (t) => {
  const machine = mkdtempSync(join(tmpdir(), 'cupola-dns-config-'));
  t.after(() => rmSync(machine, { recursive: true }));
  const places = {
    run: join(machine, 'run'),
    notes: join(machine, 'notes'),
    units: join(machine, 'units'),
    standard: join(machine, 'standard'),
  };
  const installed = (id: string, domain: string, resolverAddress: string): PlatformSettings => {
    const one = { ...settings, id, domain, resolverAddress, dataDirectory: join(machine, id) };
    mkdirSync(one.dataDirectory);
    writeFileSync(join(one.dataDirectory, 'settings.json'), JSON.stringify(one));
    noteInstallation(one, places);
    return one;
  };
  const domains = (id: string) => otherSettings({ id }, places).map(({ domain }) => domain);
  const [one, two] = [installed('aaa', 'a.example', '127.0.53.1'), installed('bbb', 'b.example', '127.0.53.2')];
  assert.deepEqual([domains(one.id), domains(two.id)], [['b.example'], ['a.example']]);
  installed('ccc', 'c.example', '127.0.53.3');
  assert.deepEqual(domains(two.id).sort(), ['a.example', 'c.example']);
  noteInstallation({ id: 'ddd', dataDirectory: join(machine, 'not-mounted') }, places);
  writeFileSync(join(machine, 'ccc', 'settings.json'), 'not JSON');
  assert.deepEqual(domains(two.id), ['a.example']);
  forgetInstallation(one, places);
  assert.deepEqual(domains(two.id), []);
});
