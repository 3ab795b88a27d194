import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Progress } from '../../../src/cli/progress.ts';
import { phases } from '../../../src/cli/up/phases.ts';

/** What the build of a stack says, in its order. */
const SAID = [
  'Retrieving Packages',
  'Retrieving libc6 2.36',
  'Validating libc6 2.36',
  'Retrieving dpkg 1.21',
  'Extracting dpkg',
  'Unpacking libc6:amd64',
  'Configuring libc6:amd64',
  'Unpacking the base system',
  'Preparing the root file system',
];
const LINES = [
  '[1/2] Preparing the stack\n',
  '      Fetching the packages\n',
  '      Extracting the base system\n',
  '      Installing the packages\n',
  '      Preparing the root file system\n',
  '[2/2] Preparing the buildpacks\n',
  '      go_buildpack 0.1.0\n',
];

function shown(context: TestContext, { terminal, silent = false }: { terminal: boolean; silent?: boolean }): string[] {
  const written: string[] = [];
  const write = context.mock.method(process.stdout, 'write', (text: string) => written.push(text) > 0);
  const isTTY = Object.getOwnPropertyDescriptor(process.stdout, 'isTTY');
  Object.defineProperty(process.stdout, 'isTTY', { value: terminal, configurable: true });
  try {
    const progress = new Progress(2, !silent);
    progress.step('Preparing the stack');
    const hear = phases(progress.part, progress.detail);
    for (const text of SAID) hear(text);
    progress.step('Preparing the buildpacks');
    progress.part('go_buildpack 0.1.0');
    progress.done();
  } finally {
    if (isTTY) Object.defineProperty(process.stdout, 'isTTY', isTTY);
    else Reflect.deleteProperty(process.stdout, 'isTTY');
    write.mock.restore();
  }
  return written;
}

describe('what a long step shows', () => {
  test('is a plain line for each phase of the stack and each buildpack, where nobody overwrites lines', (context) => {
    assert.deepEqual(shown(context, { terminal: false }), LINES);
  });

  test('is the same lines on a terminal, and each package in a line that passes', (context) => {
    const written = shown(context, { terminal: true });
    assert.deepEqual(
      written.filter((text) => text.endsWith('\n')),
      LINES,
    );
    const passing = written.filter((text) => !text.endsWith('\n') && text.startsWith(' '));
    assert.deepEqual(
      passing.map((text) => text.trim()),
      SAID.filter((text) => text !== 'Preparing the root file system'),
    );
    const cleared = written.filter((text) => text === '\r\u001b[K');
    assert.equal(cleared.length, passing.length, 'each is taken away again');
  });

  test('is nothing where a program reads', (context) => {
    assert.deepEqual(shown(context, { terminal: false, silent: true }), []);
  });
});
