import assert from 'node:assert/strict';
import { test } from 'node:test';
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
