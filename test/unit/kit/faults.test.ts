import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { EXIT_SOFTWARE, handleFaults } from '../../../src/kit/faults.ts';
import { Logger } from '../../../src/kit/log.ts';
import { HttpRefusal } from '../../../src/kit/refusal.ts';

function watched() {
  const lines: string[] = [];
  const exits: unknown[] = [];
  const target = new EventEmitter();
  const faults = handleFaults(
    new Logger('test', {}, (line) => lines.push(line)),
    Object.assign(target, {
      exit: (code?: unknown): never => {
        exits.push(code);
        return undefined as never;
      },
    }) as unknown as Parameters<typeof handleFaults>[1],
  );
  return { lines, exits, target, faults };
}

test('an error that nobody caught is logged with its stack, counted, and ends the process', () => {
  const { lines, exits, target, faults } = watched();
  target.emit('uncaughtException', new Error('torn'));
  assert.deepEqual(exits, [EXIT_SOFTWARE]);
  assert.equal(faults.uncaught, 1);
  assert.match(lines.join(''), /"message":"torn","stack":"Error: torn/);
});

test('the end of a connection that nobody caught ends nothing else', () => {
  const { lines, exits, target, faults } = watched();
  target.emit('uncaughtException', Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  assert.deepEqual(exits, []);
  assert.deepEqual({ ...faults }, { uncaught: 1, ofConnections: 1, rejections: 0 });
  assert.match(lines.join(''), /ECONNRESET/);
});

test('what a request’s body was refused for, caught by nobody, ends nothing else', () => {
  const { exits, target, faults } = watched();
  target.emit('uncaughtException', new HttpRefusal('malformed_request', 'the request body broke off'));
  assert.deepEqual(exits, []);
  assert.deepEqual({ ...faults }, { uncaught: 1, ofConnections: 1, rejections: 0 });
});

test('a promise that nobody waits for is logged and counted, and the process goes on', () => {
  const { exits, target, faults } = watched();
  target.emit('unhandledRejection', new Error('late'));
  assert.deepEqual(exits, []);
  assert.equal(faults.rejections, 1);
});
