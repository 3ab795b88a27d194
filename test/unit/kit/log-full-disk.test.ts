import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

test('SECURITY 38: a line that a full disk does not take is lost, and the process goes on and writes the next', async () => {
  const program = `
    import { writeSync } from 'node:fs';
    import { handleFaults } from './src/kit/faults.ts';
    import { Logger } from './src/kit/log.ts';
    const log = new Logger('test');
    const faults = handleFaults(log);
    log.info('one');
    setTimeout(() => {
      log.info('two');
      setTimeout(() => {
        writeSync(2, JSON.stringify({ faults, writable: process.stdout.writable }));
      }, 50);
    }, 50);`;
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
  const [said, [code]] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
  assert.equal(code, 0, said);
  assert.deepEqual(JSON.parse(said), { faults: { uncaught: 0, ofConnections: 0, rejections: 0 }, writable: true });
});
