import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { launch } from '../../../src/platform/components/launch.ts';
import { ROOT } from '../../support/project-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-launch-'));
after(() => rmSync(directory, { recursive: true }));

test('SECURITY 28: a component can leave its memory in no file, whatever its supervisor could', async () => {
  const logFile = join(directory, 'log');
  const ended = Promise.withResolvers<void>();
  const script = 'sleep 0.2; cat /proc/self/limits';
  await launch({ command: 'sh', args: ['-c', script], account: null, logFile, onExit: ended.resolve });
  await ended.promise;
  assert.match(readFileSync(logFile, 'utf8'), /^Max core file size +0 +0 /m);
});

test('what whoever started its supervisor had left open is not open in a component, which has what it was given', async () => {
  const logFile = join(directory, 'descriptors');
  const inner = `import { openSync } from 'node:fs';
    import { launch } from ${JSON.stringify(join(ROOT, 'src/platform/components/launch.ts'))};
    const inherit = [openSync('/etc/passwd')];
    const args = ['-c', 'cat; readlink /proc/$$/fd/*'];
    const ended = Promise.withResolvers();
    const awake = setInterval(() => {}, 1000);
    await launch({ command: 'sh', args, account: null, inherit, logFile: ${JSON.stringify(logFile)}, onExit: ended.resolve });
    await ended.promise;
    clearInterval(awake);`;
  const { stderr } = spawnSync(
    'bash',
    ['-c', 'exec 30</etc/hostname; exec "$0" --input-type=module-typescript -e "$1"', process.execPath, inner],
    { encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  const open = readFileSync(logFile, 'utf8');
  assert.match(open, /^\/etc\/passwd$/m);
  assert.doesNotMatch(open, /hostname/);
});
