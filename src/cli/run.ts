import { CupolaError, messageOf } from '../kit/errors.ts';
import { type Listed, UsageError } from './command.ts';
import { helpOf, usage, usageOf } from './help.ts';
import { meant } from './nearest.ts';
import { printable } from './printable.ts';

/** By the word after `./cupola`, in the order in which they are shown. What one needs is loaded when it is called. */
export const COMMANDS: Readonly<Record<string, Listed>> = {
  up: {
    summary: 'install what is missing and start the platform',
    load: async () => (await import('./commands/up.ts')).up,
  },
  trust: {
    summary: "have this machine trust the platform's certificate",
    load: async () => (await import('./commands/trust.ts')).trust,
  },
  credentials: {
    summary: 'show how to log in',
    load: async () => (await import('./commands/credentials.ts')).credentials,
  },
  push: {
    words: '[DIR]',
    summary: 'push an app without the cf CLI',
    load: async () => (await import('./commands/push.ts')).push,
  },
  status: {
    summary: 'show processes, cells and certificates',
    load: async () => (await import('./commands/status.ts')).status,
  },
  logs: {
    words: '[COMPONENT…]',
    summary: "show the platform's own logs",
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  doctor: {
    summary: 'look at this machine and say what is in the way',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  cell: {
    words: 'list | drain CELL | resume CELL',
    summary: 'show the cells, empty one for maintenance, use it again',
    load: async () => (await import('./commands/cell.ts')).cell,
  },
  rotate: {
    words: '[components|instances|uaa|roots|all]',
    summary: 'replace certificates, keys or roots while everything runs',
    load: async () => (await import('./commands/rotate.ts')).rotate,
  },
  upgrade: {
    summary: 'bring the running platform to the code of this checkout',
    load: async () => (await import('./commands/upgrade.ts')).upgrade,
  },
  engines: {
    words: '[list|update|rollback]',
    summary: 'show the engines, bring them up to date, go back to the former',
    load: async () => (await import('./commands/engines.ts')).engines,
  },
  inventory: {
    summary: 'list every package of the platform, and where it runs',
    load: async () => (await import('./commands/inventory.ts')).inventory,
  },
  install: {
    summary: 'have systemd start the platform at boot',
    load: async () => (await import('./commands/install.ts')).install,
  },
  uninstall: {
    summary: 'take the systemd unit away; what runs goes on',
    load: async () => (await import('./commands/install.ts')).uninstall,
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
  completion: {
    words: 'bash|zsh|fish',
    summary: 'print what completes these commands in your shell',
    load: async () => (await import('./commands/completion.ts')).completion(COMMANDS),
  },
};

/** Where to say it. */
export interface Output {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
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
    output.stdout.write(usage(COMMANDS));
    return 0;
  }
  if (name === '--version') {
    output.stdout.write(`${(await import('./version.ts')).version()}\n`);
    return 0;
  }
  const listed = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!listed) {
    output.stderr.write(name === undefined ? usage(COMMANDS) : `cupola: ${noCommand(name)}\n`);
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
      const hint = `${usageOf(name!, listed, command)}\n./cupola ${name} --help says more`;
      output.stderr.write(`cupola: ${error.message}\n${hint}\n`);
      return 2;
    });
  } catch (error) {
    output.stderr.write(`cupola: ${printable(messageOf(error))}\n`);
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
      output.stderr.write(`  because: ${printable(messageOf(cause))}\n`);
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
