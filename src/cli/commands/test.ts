import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from '../../kit/project.js';
import type { Command } from '../command.ts';

export const test: Command = {
  flags: {},
  about: ['Without a word it runs all that a change must pass. docs/testing.md says more.'],
  examples: ['./cupola test unit', './cupola test test/integration/router/headers.test.ts'],
  run(args) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const program = join(PROJECT, 'src/cli/test.ts');
    const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
    return promise;
  },
};
