import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../../src/cli/command.ts';
import { saidSettings } from '../../../src/cli/up/settings-flags.ts';

test('what the command line says of an installation is read as it is meant', () => {
  assert.deepEqual(saidSettings({ json: true, data: '/x' }), {});
  const words = {
    domain: 'd.example',
    bind: '0.0.0.0',
    'https-port': '8443',
    cells: '2',
    zones: '2',
    'cell-tags': 'cell-1=secure, cell-1=other',
    ssh: 'off',
    'ssh-port': '2200',
    'http2-apps': 'on',
    'unpack-ahead': 'off',
    'key-file': '/key',
    'staging-env': ['A=1', 'B==', 'C='],
    'allow-registry': ['a.example', '[::1]:5000'],
    'insecure-registry': ['b.example:5000'],
    'org-storage': '1',
    'disk-reserve': '2',
    'max-app-disk': '3',
    'user-requests': '60',
    'anonymous-requests': '61',
  };
  assert.deepEqual(saidSettings(words), {
    domain: 'd.example',
    bindAddress: '0.0.0.0',
    httpsPort: 8443,
    cells: 2,
    zones: 2,
    cellTags: [[], ['secure', 'other']],
    ssh: false,
    sshPort: 2200,
    http2Apps: true,
    unpackAhead: false,
    keyFile: '/key',
    stagingEnvironment: { A: '1', B: '=', C: '' },
    allowedRegistries: ['a.example', '[::1]:5000'],
    insecureRegistries: ['b.example:5000'],
    organizationStorage: 1,
    diskReserve: 2,
    maximumAppDisk: 3,
    userRequests: 60,
    anonymousRequests: 61,
  });
});

test('a domain is a name that DNS can have, with those of the platform below it, and in lower case without a last dot whatever was written', () => {
  const label = 'a'.repeat(63);
  const longest = `${`${label}.`.repeat(3)}${'b'.repeat(51)}`;
  assert.equal(`log-cache.${longest}`.length, 253);
  for (const domain of [
    'cupola.localhost',
    'paas',
    'a-b.c_d.example',
    '1.example',
    `${label}.x`,
    'xn--bcher-kva.de',
    longest,
  ])
    assert.deepEqual(saidSettings({ domain }), { domain });
  for (const domain of ['Apps.Example.COM', 'apps.example.com.'])
    assert.deepEqual(saidSettings({ domain }), { domain: 'apps.example.com' });
  const bad = [
    ...[
      '',
      '.',
      'a b',
      'x;y',
      '-x',
      'x-.example',
      'a..b',
      '.a',
      'a..',
      '*.a',
      'a/b',
      'a:443',
      'a#b',
      'bücher.de',
      'a\nb',
      'a\n',
    ],
    ...[
      '10.0.0.1',
      '10.0.0.1.',
      'a.1',
      'a.0x1f',
      '::1',
      '[::1]',
      `${label}a.x`,
      `${longest}b`,
      `${`${label}.`.repeat(4)}a`,
    ],
  ];
  for (const domain of bad) {
    const refused = { constructor: UsageError, message: /^--domain takes a domain name, e\.g\. apps\.example\.com: / };
    assert.throws(() => saidSettings({ domain }), refused, JSON.stringify(domain));
  }
});
