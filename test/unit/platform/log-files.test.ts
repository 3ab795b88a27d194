import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type LogFile, logFilesIn, rotateLogs } from '../../../src/platform/log-files.ts';

let directory: string;
const uid = process.getuid!();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cupola-logs-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const logFile = (name: string): LogFile => ({ path: join(directory, name), archive: join(directory, name), uid });

test('a log is bounded, nothing of it is lost, and its writer goes on writing into the new file', () => {
  const file = logFile('control.log');
  const writer = openSync(file.path, 'a', 0o600);
  const limits = { bytes: 1_000, keep: 3 };
  const written: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    for (let line = 0; line < 20; line += 1) {
      const text = `${round}-${line} ${'x'.repeat(60)}\n`;
      written.push(text);
      writeSync(writer, text);
    }
    rotateLogs([file], limits);
    assert.ok(statSync(file.path).size <= limits.bytes);
  }
  closeSync(writer);
  assert.deepEqual(readdirSync(directory).sort(), ['control.log', 'control.log.1', 'control.log.2', 'control.log.3']);
  const kept = ['control.log.3', 'control.log.2', 'control.log.1', 'control.log']
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('');
  assert.equal(kept, written.slice(-kept.split('\n').length + 1).join(''), 'the last lines, in order, none missing');
  assert.equal(statSync(join(directory, 'control.log.1')).mode & 0o777, 0o600);
});

test('a small log and what was kept before are left alone', () => {
  writeFileSync(join(directory, 'nats.log'), 'short\n');
  writeFileSync(join(directory, 'nats.log.1'), 'x'.repeat(5_000));
  const files = logFilesIn(directory).map((file) => ({ ...file, uid }));
  assert.deepEqual(
    files.map(({ path }) => path),
    [join(directory, 'nats.log')],
  );
  assert.deepEqual(rotateLogs(files, { bytes: 1_000, keep: 2 }), []);
});

test('SECURITY: another account’s log leads to no other file: links and files of other owners are not cut', () => {
  const victim = join(directory, 'victim');
  writeFileSync(victim, 'v'.repeat(5_000));
  mkdirSync(join(directory, 'theirs'));
  const at = (name: string) => join(directory, 'theirs', name);
  symlinkSync(victim, at('symlink.log'));
  linkSync(victim, at('hardlink.log'));
  writeFileSync(at('other.log'), 'o'.repeat(5_000));
  chmodSync(at('other.log'), 0o666);
  const files: LogFile[] = [
    { path: at('symlink.log'), archive: join(directory, 'a.log'), uid },
    { path: at('hardlink.log'), archive: join(directory, 'b.log'), uid },
    { path: at('other.log'), archive: join(directory, 'c.log'), uid: uid + 1 },
    { path: at('missing.log'), archive: join(directory, 'd.log'), uid },
  ];
  assert.deepEqual(rotateLogs(files, { bytes: 1_000, keep: 2 }), []);
  assert.equal(statSync(victim).size, 5_000);
  assert.equal(statSync(at('other.log')).size, 5_000);
});
