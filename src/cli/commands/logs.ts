import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import { layoutOf } from '../../platform/layout.ts';
import { command, UsageError } from '../command.ts';
import { installation } from '../options.ts';

export const logs = command({
  flags: {
    lines: { type: 'string', takes: 'N', help: 'how many of each (200 of those named, else 20)' },
    follow: { type: 'boolean', short: 'f', help: 'go on with what comes' },
  },
  async run({ values, positionals }) {
    const { lines = positionals.length > 0 ? '200' : '20' } = values;
    if (!/^\d{1,9}$/.test(lines)) throw new UsageError(`--lines takes a whole number, and no "${lines}"`);
    const directory = layoutOf(installation(values.data)).logs;
    const names = existsSync(directory)
      ? readdirSync(directory).flatMap((file) => (file.endsWith('.log') ? [file.slice(0, -4)] : []))
      : [];
    const wanted = positionals.length > 0 ? positionals : names;
    const unknown = wanted.filter((name) => !names.includes(name));
    if (unknown.length > 0) {
      throw new CupolaError('no_such_log', `no log of ${unknown.join(', ')}; there are: ${names.join(', ') || 'none'}`);
    }
    if (wanted.length === 0) {
      process.stderr.write('there are no logs yet\n');
      return 0;
    }
    const files = wanted.map((name) => join(directory, `${name}.log`));
    for (const [index, file] of files.entries()) {
      if (statSync(file).size === 0) process.stderr.write(`${whyEmpty(wanted[index]!, file)}\n`);
    }
    return tail(['-n', lines, ...(values.follow ? ['-F'] : []), '--', ...files]);
  },
});

function whyEmpty(name: string, file: string): string {
  const former = `${file}.1`;
  return existsSync(former)
    ? `the log of ${name} was begun anew; ${former} has what was before`
    : `there is nothing in the log of ${name} yet`;
}

function tail(args: readonly string[]): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn('tail', args, { stdio: ['ignore', 'inherit', 'inherit'], env: PLAIN_ENVIRONMENT });
  child.on('error', reject);
  child.on('close', (code) => resolve(code ?? 0));
  return promise;
}
