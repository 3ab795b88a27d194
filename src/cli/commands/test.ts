import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Command } from '../options.ts';

export const test: Command = {
  usage: 'test [OPTIONS]',
  summary: 'run the tests',
  run(args) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const program = join(import.meta.dirname, '../test.ts');
    const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
    return promise;
  },
};
