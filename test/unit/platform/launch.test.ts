import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { launch } from '../../../src/platform/components/launch.ts';

const directory = mkdtempSync('/tmp/cupola-launch-');
after(() => rmSync(directory, { recursive: true }));

test('SECURITY 28: a component can leave its memory in no file, whatever its supervisor could', async () => {
  const logFile = join(directory, 'log');
  const ended = Promise.withResolvers<void>();
  const script = 'sleep 0.2; cat /proc/self/limits';
  await launch({ command: 'sh', args: ['-c', script], account: null, logFile, onExit: ended.resolve });
  await ended.promise;
  assert.match(readFileSync(logFile, 'utf8'), /^Max core file size +0 +0 /m);
});
