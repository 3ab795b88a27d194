import { CupolaError, messageOf } from '../kit/errors.ts';
import { type Command, helpOf, UsageError, usageOf } from './command.ts';
import { cell } from './commands/cell.ts';
import { credentials } from './commands/credentials.ts';
import { destroy } from './commands/destroy.ts';
import { doctor } from './commands/doctor.ts';
import { down } from './commands/down.ts';
import { install, uninstall } from './commands/install.ts';
import { logs } from './commands/logs.ts';
import { push } from './commands/push.ts';
import { rotate } from './commands/rotate.ts';
import { status } from './commands/status.ts';
import { test } from './commands/test.ts';
import { trust } from './commands/trust.ts';
import { up } from './commands/up.ts';
import { upgrade } from './commands/upgrade.ts';

/** By the word after `./cupola`, in the order in which they are shown. */
export const COMMANDS: Record<string, Command> = {
  up,
  status,
  credentials,
  cell,
  logs,
  push,
  doctor,
  install,
  uninstall,
  trust,
  rotate,
  upgrade,
  down,
  destroy,
  test,
};

/** Where to say it. */
export interface Output {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { words, summary }]) => [`${name} ${words}`.trim(), summary] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, summary]) => `  ${left.padEnd(width)}  ${summary}`);
  return `Usage: ./cupola COMMAND [OPTIONS]\n\n${lines.join('\n')}\n\n./cupola COMMAND --help says its options.\n`;
}

/** Whether a command is to say what it takes, and not to run. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).some((word) => word === '--help' || word === '-h');
}

/** Runs what stands behind `./cupola` and gives the exit code: 2 where the words are wrong, 1 where it fails. */
export async function run(args: readonly string[], output: Output = process): Promise<number> {
  const [name, ...rest] = args;
  if (name === 'help' || name === '--help' || name === '-h') {
    output.stdout.write(usage());
    return 0;
  }
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    output.stderr.write(name === undefined ? usage() : `cupola: there is no command "${name}"\n\n${usage()}`);
    return 2;
  }
  if (asksForHelp(rest)) {
    output.stdout.write(helpOf(name!, command));
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError) {
      output.stderr.write(`cupola: ${error.message}\nUsage: ./cupola ${usageOf(name!, command)}\n`);
      return 2;
    }
    output.stderr.write(`cupola: ${messageOf(error)}\n`);
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
      output.stderr.write(`  because: ${messageOf(cause)}\n`);
    }
    if (!(error instanceof CupolaError) && error instanceof Error) output.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
