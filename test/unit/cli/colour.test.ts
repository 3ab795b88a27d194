import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { PLAIN_ENVIRONMENT, run } from '../../../src/kit/process.ts';
import { PROJECT } from '../../../src/kit/project.js';
import { inPath } from '../../../src/platform/host/packages.ts';

const PROGRAM = `import { coloured } from ${JSON.stringify(join(PROJECT, 'src/cli/colour.ts'))};
process.stdout.write(coloured('green', 'ready') + '.');`;
const NODE = [process.execPath, '--input-type=module', '-e', PROGRAM];
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

const skip = !inPath('script') && 'needs script';

test('colours are for a terminal that has them, unless NO_COLOR is set', { skip }, async () => {
  const atTerminal = (env: Record<string, string>) =>
    run('script', ['-qefc', NODE.map(quoted).join(' '), '/dev/null'], { env: { ...PLAIN_ENVIRONMENT, ...env } });
  assert.equal(await atTerminal({ TERM: 'xterm-256color' }), '\u001b[32mready\u001b[39m.');
  assert.equal(await atTerminal({ TERM: 'xterm-256color', NO_COLOR: '1' }), 'ready.');
  assert.equal(await atTerminal({ TERM: 'dumb' }), 'ready.');
  assert.equal(await run(NODE[0]!, NODE.slice(1), { env: { ...PLAIN_ENVIRONMENT, TERM: 'xterm-256color' } }), 'ready.');
});
