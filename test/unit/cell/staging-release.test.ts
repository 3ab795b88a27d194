import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProcfile, parseRelease } from '../../../src/cell/staging/release.ts';

const refused = { name: 'CupolaError', code: 'release_invalid' };

test('a release gives its default process types, and none where it names none', () => {
  assert.deepEqual(parseRelease('---\ndefault_process_types:\n  web: npm start\n  worker: "node w.js"\n'), {
    web: 'npm start',
    worker: 'node w.js',
  });
  for (const empty of ['', '--- {}', '---\n', 'addons: []\nconfig_vars: {}', 'default_process_types:']) {
    assert.deepEqual(parseRelease(empty), {});
  }
});

test('a release that is no mapping of texts is refused', () => {
  for (const bad of ['- web', 'web', 'default_process_types: [web]', 'default_process_types: {web: {a: b}}', 'a: [']) {
    assert.throws(() => parseRelease(bad), refused, bad);
  }
  assert.throws(() => parseRelease('default_process_types: {"a b": x}'), refused);
  assert.throws(() => parseRelease(`default_process_types: {web: ${'x'.repeat(5000)}}`), refused);
});

test('an alias bomb in a release is refused, not expanded', () => {
  const levels = Array.from(
    { length: 20 },
    (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level},`.repeat(10)}]`,
  );
  assert.throws(() => parseRelease(['l0: &l0 x', ...levels].join('\n')), refused);
  assert.throws(() => parseRelease('x'.repeat(100_000)), refused);
});

test('a process type named like an object property stays a process type', () => {
  const types = parseRelease('default_process_types: {constructor: a}');
  assert.equal(Object.getPrototypeOf(types), Object.prototype);
  assert.equal(types['constructor'], 'a');
  assert.throws(() => parseRelease('default_process_types: {__proto__: b}'), refused);
});

test('a Procfile is read as YAML, and line by line where its commands are not', () => {
  assert.deepEqual(parseProcfile('web: ./run --port $PORT\nworker: "bin/worker"\n'), {
    web: './run --port $PORT',
    worker: 'bin/worker',
  });
  assert.deepEqual(parseProcfile('# comment\nweb: bash -c "echo a: b" {x\r\n'), { web: 'bash -c "echo a: b" {x' });
  assert.deepEqual(parseProcfile('web: 8080\n'), { web: '8080' });
  assert.deepEqual(parseProcfile('\n'), {});
  assert.throws(() => parseProcfile('just words'), refused);
});
