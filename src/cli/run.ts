import { CupolaError, messageOf } from '../kit/errors.ts';
import { helpOf, type Listed, UsageError, usageOf } from './command.ts';
import { meant } from './nearest.ts';

/** By the word after `./cupola`, in the order in which they are shown. What one needs is loaded when it is called. */
export const COMMANDS: Record<string, Listed> = {
  up: {
    summary: 'install what is missing and start the platform',
    load: async () => (await import('./commands/up.ts')).up,
  },
  status: {
    summary: 'show processes, cells and certificates',
    load: async () => (await import('./commands/status.ts')).status,
  },
  credentials: {
    summary: 'show how to log in',
    load: async () => (await import('./commands/credentials.ts')).credentials,
  },
  cell: {
    words: 'list | drain CELL | resume CELL',
    summary: 'show the cells, empty one for maintenance, use it again',
    load: async () => (await import('./commands/cell.ts')).cell,
  },
  logs: {
    words: '[COMPONENT…]',
    summary: "show the platform's own logs",
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  push: {
    words: 'DIR',
    summary: 'push an app without the cf CLI, to organization and space demo',
    load: async () => (await import('./commands/push.ts')).push,
  },
  doctor: {
    summary: 'look at this machine and say what is in the way',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  install: {
    summary: 'have systemd start the platform at boot',
    load: async () => (await import('./commands/install.ts')).install,
  },
  uninstall: {
    summary: 'take the systemd unit away; what runs goes on',
    load: async () => (await import('./commands/install.ts')).uninstall,
  },
  trust: {
    summary: "have this machine trust the router's certificate",
    load: async () => (await import('./commands/trust.ts')).trust,
  },
  rotate: {
    words: '[components|instances|uaa|roots|all]',
    summary: 'replace certificates, keys or roots while everything runs',
    load: async () => (await import('./commands/rotate.ts')).rotate,
  },
  engines: {
    words: '[list|update|rollback]',
    summary: 'show the image of the engines, bring it up to date, go back to the former; apps go on serving',
    load: async () => (await import('./commands/engines.ts')).engines,
  },
  upgrade: {
    summary: 'bring the running platform to the code of this checkout; apps go on serving',
    load: async () => (await import('./commands/upgrade.ts')).upgrade,
  },
  down: { summary: 'stop the platform; keep its data', load: async () => (await import('./commands/down.ts')).down },
  destroy: {
    summary: 'stop it and remove everything it made, data included',
    load: async () => (await import('./commands/destroy.ts')).destroy,
  },
  test: {
    words: '[SUITE|DIR|FILE…]',
    summary: 'run the tests',
    load: async () => (await import('./commands/test.ts')).test,
  },
};

/** Where to say it. */
export interface Output {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { words = '', summary }]) => [`${name} ${words}`.trim(), summary] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, summary]) => `  ${left.padEnd(width)}  ${summary}`);
  return `Usage: ./cupola COMMAND [OPTIONS]\n\n${lines.join('\n')}\n\n./cupola help COMMAND says its options, ./cupola --version which code this is.\n`;
}

function isHelp(word: string | undefined): boolean {
  return word === '--help' || word === '-h';
}

/** Whether a command is to say what it takes, and not to run. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).some(isHelp);
}

/** Runs what stands behind `./cupola` and gives the exit code: 2 where the words are wrong, 1 where it fails. */
export async function run(args: readonly string[], output: Output = process): Promise<number> {
  const [name, ...rest] = args;
  if (name === 'help' || isHelp(name)) {
    const [about] = rest;
    if (about !== undefined && !isHelp(about)) return run([about, '--help'], output);
    output.stdout.write(usage());
    return 0;
  }
  if (name === '--version') {
    output.stdout.write(`${(await import('./version.ts')).version()}\n`);
    return 0;
  }
  const listed = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!listed) {
    output.stderr.write(name === undefined ? usage() : `cupola: ${noCommand(name)}\n`);
    return 2;
  }
  try {
    const command = await listed.load();
    if (asksForHelp(rest)) {
      output.stdout.write(helpOf(name!, listed, command));
      return 0;
    }
    return await command.run(rest, listed.words !== undefined).catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
      const hint = `${usageOf(name!, listed, command)}; ./cupola help ${name} says them`;
      output.stderr.write(`cupola: ${error.message}\n${hint}\n`);
      return 2;
    });
  } catch (error) {
    output.stderr.write(`cupola: ${messageOf(error)}\n`);
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
      output.stderr.write(`  because: ${messageOf(cause)}\n`);
    }
    if (!(error instanceof CupolaError) && error instanceof Error) output.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

function noCommand(name: string): string {
  return `there is no command "${name}"${meant(name, Object.keys(COMMANDS)) || ';'} see ./cupola help`;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
