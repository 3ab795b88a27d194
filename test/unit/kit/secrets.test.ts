import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { receive } from '../../../src/cell/garden/archives.ts';
import { lifecycleView } from '../../../src/cloud-controller/apps/view.ts';
import { redact } from '../../../src/cloud-controller/audit-events/redact.ts';
import { checkAddress } from '../../../src/cloud-controller/buildpacks/custom.ts';
import { classOf } from '../../../src/kit/engine-words.ts';
import { Logger } from '../../../src/kit/log.ts';
import { startProgram } from '../../../src/kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT, run } from '../../../src/kit/process.ts';
import { shownAddress } from '../../../src/kit/secrets.ts';

const PLANTED = 'planted-5ecr3t';
const NAMES = [
  ...[
    'password',
    'passwd',
    'passcode',
    'docker_password',
    'client_secret',
    'access_token',
    'credentials',
    'private_key',
  ],
  ...[
    'privateKey',
    'Authorization',
    'cookie',
    'Set-Cookie',
    'key',
    'var',
    'env',
    'environment',
    'environment_variables',
  ],
  ...['environmentVariables', 'environment_json', 'parameters', 'command', 'syslog_drain_url', 'syslogDrainUrl'],
  ...['route_service_url'],
];
const ADDRESSES = [
  `https://h.example/b.zip?token=${PLANTED}`,
  `https://h.example/b.zip#${PLANTED}`,
  `https://u:${PLANTED}@h.example/b.zip`,
  `https://${PLANTED}@h.example`,
  `https://u:${PLANTED}?x@h.example/b.zip`,
  `postgres://u:${PLANTED}@h.example/db`,
];

function logged(message: string, fields: Record<string, unknown> = {}): string {
  const lines: string[] = [];
  new Logger('test', {}, (line) => lines.push(line)).info(message, fields);
  return lines.join('');
}

test('SECURITY 28: every name of a secret is hidden in logs and in events alike', () => {
  for (const name of NAMES) {
    for (const held of [{ [name]: PLANTED }, { deep: [{ [name]: { any: PLANTED } }] }]) {
      assert.ok(!logged('x', held).includes(PLANTED), `log: ${name}`);
      assert.ok(!JSON.stringify(redact(held)).includes(PLANTED), `event: ${name}`);
    }
  }
  for (const name of ['name', 'keyId', 'layer', 'environment_count']) {
    assert.ok(logged('x', { [name]: 'plain' }).includes('plain'), name);
    assert.ok(JSON.stringify(redact({ [name]: 'plain' })).includes('plain'), name);
  }
});

test('SECURITY 28: an address stands in logs, events and views without user, query and fragment', () => {
  for (const address of ADDRESSES) {
    const said = [
      shownAddress(address),
      logged(`fetching ${address}, again`, { address, error: new Error(`no ${address}`), list: [address] }),
      JSON.stringify(redact({ lifecycle: { data: { buildpacks: [address] } } })),
      JSON.stringify(lifecycleView({ lifecycle: 'buildpack', buildpacks: [address], stack: null })),
    ];
    for (const text of said) assert.ok(!text.includes(PLANTED), text);
    assert.throws(
      () => checkAddress(address.replace('.zip', '.git')),
      (error: Error) => !error.message.includes(PLANTED),
    );
  }
  for (const plain of ['https://h.example', 'http://[::1]:80/a/b.zip', 'https://h.example/a@b', 'ruby_buildpack']) {
    assert.equal(shownAddress(plain), plain);
    assert.ok(logged(`at ${plain}, again`).includes(`at ${plain}, again`));
  }
  assert.equal(shownAddress(ADDRESSES[0]!), 'https://h.example/b.zip');
});

test("SECURITY 28: an engine's words are known by their class alone", async () => {
  const words = [`tar: ${PLANTED}: Permission denied`, `bad variable ${PLANTED}`, `${PLANTED}: no space left`, PLANTED];
  for (const text of words) assert.ok(!classOf(text).includes(PLANTED));
  assert.equal(classOf(words[0]!), 'permission was denied');
  assert.equal(classOf(words[2]!), 'no space is left');
  for (const [command, args] of [
    ['tar', ['-xf', `/nowhere/${PLANTED}`]],
    ['cat', [`/nowhere/${PLANTED}`]],
  ] as const) {
    await assert.rejects(run(command, args), (error: Error) => {
      assert.ok(!logged('failed', { error, ...error }).includes(PLANTED));
      return true;
    });
  }
  const child = startProgram('tar', ['-xf', `/nowhere/${PLANTED}`], { env: PLAIN_ENVIRONMENT });
  await assert.rejects(receive(Readable.from([Buffer.alloc(1024)]), child), (error: Error) => {
    assert.match(error.message, /^ended with 2: something is missing$/);
    return true;
  });
});
