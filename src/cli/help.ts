import { columns, wrap } from './columns.ts';
import type { Command, Flag, Listed } from './command.ts';

/** "Usage: ./cupola push DIR [OPTIONS]" */
export function usageOf(name: string, { words }: Listed, { flags }: Command): string {
  const parts = [name, words, Object.keys(flags).length > 0 ? '[OPTIONS]' : undefined];
  return `Usage: ./cupola ${parts.filter((part) => part !== undefined).join(' ')}`;
}

/** What `./cupola NAME --help` prints. */
export function helpOf(name: string, listed: Listed, command: Command): string {
  const options = columns([
    ...Object.entries(command.flags).map(([flag, declared]) => [spelled(flag, declared), explained(declared)] as const),
    ['-h, --help', 'show this help'],
  ]);
  const examples = (command.examples ?? []).map((line) => `  ${line}`);
  const blocks = [
    [usageOf(name, listed, command)],
    wrap(sentence(listed.summary)),
    ...(command.about ?? []).map((paragraph) => wrap(paragraph)),
    examples,
    options,
  ];
  const texts = blocks.filter((lines) => lines.length > 0).map((lines) => lines.join('\n'));
  return `${texts.join('\n\n')}\n`;
}

/** "-f, --follow", "--cells N" */
export function spelled(flag: string, { short, takes }: Flag): string {
  return `${short === undefined ? '' : `-${short}, `}--${flag}${takes === undefined ? '' : ` ${takes}`}`;
}

/** What is said of an option. */
export function explained({ help, multiple, unlessTold }: Flag): string {
  const more = [
    ...(unlessTold === undefined || unlessTold === 'none' ? [] : [`default: ${unlessTold}`]),
    ...(multiple ? ['may be repeated'] : []),
  ];
  return `${help}${more.length > 0 ? ` (${more.join('; ')})` : ''}`;
}

/** "show how to log in" as a sentence. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** What `./cupola help` prints. */
export function usage(commands: Readonly<Record<string, Listed>>): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => [name, summary] as const);
  return `Usage: ./cupola COMMAND [OPTIONS]

${columns(rows).join('\n')}

./cupola COMMAND --help says what a command takes.
./cupola --version says which code this is.
`;
}
