import { CupolaError, messageOf } from '../kit/errors.ts';
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
import { type Command, UsageError } from './options.ts';

const COMMANDS: Record<string, Command> = {
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

function usage(): string {
  const width = Math.max(...Object.values(COMMANDS).map((command) => command.summary.length));
  const lines = Object.values(COMMANDS).map(
    (command) => `  ${command.summary.padEnd(width)}  ./cupola ${command.usage}`,
  );
  return `Usage: ./cupola COMMAND [OPTIONS]\n\n${lines.join('\n')}\n\nEach takes --data DIR (default /var/lib/cupola).\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return 0;
  }
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    process.stderr.write(name === undefined ? usage() : `cupola: there is no command "${name}"\n\n${usage()}`);
    return 2;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`cupola: ${error.message}\nUsage: ./cupola ${command.usage}\n`);
      return 2;
    }
    process.stderr.write(`cupola: ${messageOf(error)}\n`);
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
      process.stderr.write(`  because: ${messageOf(cause)}\n`);
    }
    if (!(error instanceof CupolaError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

process.exitCode = await main(process.argv.slice(2));
