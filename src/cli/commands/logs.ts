import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import { layoutOf } from '../../platform/layout.ts';
import { command } from '../command.ts';
import { installation } from '../options.ts';
import { logsIn } from '../words.ts';

export const logs = command({
  flags: {
    lines: {
      type: 'string',
      short: 'n',
      takes: 'N',
      help: 'how many lines of each',
      unlessTold: '200 of those named, else 20',
      accepts: 'a whole number',
      check: (word) => /^\d{1,9}$/.test(word),
    },
    follow: { type: 'boolean', short: 'f', help: 'keep showing new lines' },
  },
  about: ['These are the logs of the platform itself. For those of an app: cf logs APP --recent.'],
  async run({ values, positionals }) {
    const { lines = positionals.length > 0 ? '200' : '20' } = values;
    const directory = layoutOf(installation(values.data)).logs;
    const names = existsSync(directory) ? logsIn(directory) : [];
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
