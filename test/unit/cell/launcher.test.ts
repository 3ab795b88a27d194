import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseLaunch, parseProcfile, parseRelease } from '../../../src/cell/staging/release.ts';
import { CupolaError } from '../../../src/kit/errors.ts';

const launcher = join(import.meta.dirname, '../../../src/cell/staging/lifecycle/launcher');
const root = mkdtempSync(join(tmpdir(), 'cupola-launcher-'));
mkdirSync(join(root, 'app'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Starts a process of a droplet whose staging_info.yml has this text. */
function launched(stagingInfo: string | Buffer, command = ''): { output: string; status: number | null } {
  writeFileSync(join(root, 'staging_info.yml'), stagingInfo);
  const run = spawnSync('bash', [launcher, join(root, 'app'), command, ''], { encoding: 'utf8', timeout: 20_000 });
  return { output: run.stdout || run.stderr, status: run.status };
}

test('BPK-01: a droplet without process types starts with the command that its staging left in it', () => {
  const command = 'printf "%s" "a&&b <é> \\\\ /"';
  for (const info of [
    `${JSON.stringify({ detected_buildpack: 'ruby 1.2', start_command: command })}\n`,
    `{"start_command":${JSON.stringify(command).replace('&&', '\\u0026\\u0026').replace('/', '\\/')}, "x": "y"}`,
    `{\n  "detected_buildpack": "say \\"start_command\\": \\"false\\"",\n  "start_command": ${JSON.stringify(command)}\n}`,
    `---\ndetected_buildpack: ruby\nstart_command: ${command}\n`,
    `start_command: '${command}'\n`,
    `start_command: ${JSON.stringify(command)}\n`,
  ]) {
    assert.deepEqual(launched(info), { output: 'a&&b <é> \\ /', status: 0 }, info);
  }
});

/** What staging leaves of a result as the command, and what the platform starts. */
function commandsOf(files: Record<string, string>): { left: string; started: string } {
  const result = mkdtempSync(join(root, 'result-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(result, name), text);
  const script = 'set -uo pipefail; . "$1"; web_command "$2"';
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'test', join(launcher, '../scalar.sh'), result], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  const types = {
    ...parseRelease(files['release.yml'] ?? ''),
    ...(files['launch-0.yml'] === undefined ? {} : parseLaunch(files['launch-0.yml']).processTypes),
    ...(files['Procfile'] === undefined ? {} : parseProcfile(files['Procfile'])),
  };
  return { left: stdout, started: types['web'] ?? '' };
}

/** None, or the same; where staging itself refuses the result there is nothing to leave. */
function agrees(files: Record<string, string>): void {
  try {
    const { left, started } = commandsOf(files);
    assert.ok(left === '' || left === started, `${JSON.stringify(files)}: "${left}", and not "${started}"`);
  } catch (error) {
    if (!(error instanceof CupolaError)) throw error;
  }
}

const released = (command: string) =>
  `default_process_types:\n  worker: other\n  web: ${command}\n  after: last\nconfig_vars: {}\naddons: []\n`;
const RELEASE = released('bin/release');

test('BPK-01: what staging leaves is the command that the platform starts, where buildpacks and Procfiles write it as most do', () => {
  const long = `'JAVA_OPTS="-Djava.io.tmpdir=$TMPDIR" && exec\n    bin/java $JAVA_OPTS\n    -jar app.jar'`;
  const commands = [
    '"node server.js"',
    "'it''s -jar'",
    './run --port "$PORT" # by default',
    '"a \\"b\\" \\\\ c"',
    long,
    'bin/one\n    --and two',
  ];
  for (const command of commands) {
    const { left, started } = commandsOf({ 'release.yml': released(command) });
    assert.equal(left, started);
    assert.notEqual(left, '', command);
  }
  for (const [Procfile, command] of [
    ['web: node server.js\n', 'node server.js'],
    ['# what runs\nworker: bin/work "a\\b"\r\n\r\nweb:   exec bin/web -p $PORT # here\r\n', 'exec bin/web -p $PORT'],
    ['web: "node server.js"\nrelease: bin/migrate', 'node server.js'],
    ['worker: bin/work\n', 'bin/release'],
    ['worker: [a, list]\nother: x\n', 'bin/release'],
  ] as const) {
    assert.deepEqual(commandsOf({ Procfile, 'release.yml': RELEASE }), { left: command, started: command }, Procfile);
  }
  const launch = 'processes:\n- type: worker\n  command: bin/work\n';
  assert.equal(commandsOf({ 'launch-0.yml': launch, 'release.yml': RELEASE }).left, 'bin/release');
});

test('BPK-01: where a shell cannot tell how the platform reads it, staging leaves no command, and never another one', () => {
  const procfiles = [
    '"web": node server.js\n',
    "'web': node server.js\n",
    '"w\\x65b": node server.js\n',
    'web : node server.js\n',
    'web: |\n  node server.js\n',
    'web: >-\n  node\n  server.js\n',
    '{web: node server.js}\n',
    '{ worker: x,\nweb: node server.js\n}\n',
    '? web\n: node server.js\n',
    'a: &w node server.js\nweb: *w\n',
    'web: &w node server.js\n',
    'web: !!str node server.js\n',
    'web: one\nweb: two\n',
    'worker: echo a: b\nweb: "quoted" # and more\n',
    'worker: echo a: b\nweb: "quoted"\n',
    'worker: "a" b\nweb: node server.js # port\n',
    'worker: true\nweb: "node server.js"\n',
    'web: 8080\n',
    'web: "a\\x41\\e"\n',
    'web: "a\\\n  b"\n',
    'web: "a\n\n  b"\n',
    'web: one\n\n  two\n',
    'web: one # first\n  two\n',
    'web: one\n# between\n  two\n',
    'web: a\tb\t# c\n',
    'web: "one\nworker: two"\n',
    'other:\n  web: deep\nworker: bin/work\n',
    'worker: bin/work\n  web: deep\n',
    'worker: |\n  x\n  web: not this\nrelease: y\n',
    'worker: "\n  web: not this"\nrelease: y\n',
    '- web: node server.js\n- worker: x\nweb: y\n',
  ];
  for (const Procfile of procfiles) agrees({ Procfile, 'release.yml': RELEASE });
  for (const release of [
    'config_vars:\n  web: not this\ndefault_process_types:\n  web: bin/release\n',
    'default_process_types:\n  web:\n    deep: x\n  "web": y\n',
    'default_process_types: {}\nother:\n  web: not this\n',
    'default_process_types: { web: bin/release }\n',
    'default_process_types:\n  worker: x\nafter:\n  web: not this\n',
    '"default_process_types":\n  web: bin/release\n',
    '---\ndefault_process_types:\n    web: bin/release\n',
    'default_process_types:\n  web: |\n    bin/release\n',
  ]) {
    agrees({ 'release.yml': release });
  }
  const launch = 'processes:\n- type: web\n  command: bin/launched\n';
  assert.deepEqual(commandsOf({ 'launch-0.yml': launch, 'release.yml': RELEASE }), {
    left: '',
    started: 'bin/launched',
  });
});

test('the command that was asked for comes before the one that staging left', () => {
  assert.deepEqual(launched('{"start_command":"echo staged"}', 'printf asked'), { output: 'asked', status: 0 });
});

test('SECURITY 25: a staging_info.yml without a command, without an end or with half a text starts nothing', () => {
  for (const info of [
    '',
    '{}',
    '{"start_command":""}',
    '{"start_command":null}',
    '{"start_command":"\\u00zz"}',
    '{"start_command":"\\u00zzecho late"}',
    '{"start_command":"echo \\u00zz"}',
    'start_command: |\n  block',
    '[[[[[[',
    Buffer.concat([Buffer.alloc(100_000, 0x20), Buffer.from('{"start_command":"echo late"}')]),
    Buffer.alloc(200_000, 0x5c),
  ]) {
    const { output, status } = launched(info);
    assert.equal(status, 1, String(info).slice(0, 60));
    assert.match(output, /no start command specified or detected in droplet/);
  }
});
