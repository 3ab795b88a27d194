import { parseArgs } from 'node:util';
import { DATA_OPTION } from '../platform/settings/data-option.ts';
import { meant } from './nearest.ts';

/** The command line is wrong: usage, and exit code 2. */
export class UsageError extends Error {}

/** One option of a command, as util.parseArgs takes it, with what `--help` says of it. */
export interface Flag {
  type: 'string' | 'boolean';
  short?: string;
  /** It may be given several times: its words are a list. */
  multiple?: boolean;
  /** What stands behind it, of a string. */
  takes?: string;
  help: string;
}
export type Flags = Readonly<Record<string, Flag>>;

/** One word after `./cupola`, as it is shown among all. */
export interface Listed {
  summary: string;
  /** What it takes beside options, e.g. "DIR". */
  words?: string;
  load(): Promise<Command>;
}

/** What one does. */
export interface Command {
  flags: Flags;
  /** `takesWords`: beside options. Gives the exit code. Throws UsageError. */
  run(args: readonly string[], takesWords: boolean): Promise<number>;
}

/** Every command knows it. */
const DATA = {
  [DATA_OPTION.flag]: {
    type: 'string',
    takes: DATA_OPTION.takes,
    help: `${DATA_OPTION.help}; unless told: ${DATA_OPTION.unlessTold}`,
  },
} as const;

/** The same in every command that has it. */
export const JSON_FLAG = { json: { type: 'boolean', help: 'answer in JSON, for programs' } } as const;

interface Declared<Own extends Flags> {
  flags: Own;
  run(given: ReturnType<typeof parse<Own & typeof DATA>>): Promise<number>;
}

/** A command as it is declared: usage, `--help` and what its options give come from there. */
export function command<Own extends Flags>({ flags, run }: Declared<Own>): Command {
  const all = { ...DATA, ...flags };
  return { flags: all, run: async (args, takesWords) => run(parse(args, all, takesWords)) };
}

/** util.parseArgs, its complaints as usage errors. */
function parse<Known extends Flags>(args: readonly string[], flags: Known, positionals: boolean) {
  refuseUnknown(args, flags);
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: positionals, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Throws UsageError for an option that there is not, and repeats nothing of its value. */
function refuseUnknown(args: readonly string[], flags: Flags): void {
  const { tokens } = parseArgs({
    args: [...args],
    options: flags,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option' || Object.hasOwn(flags, token.name)) continue;
    const near = meant(token.name, Object.keys(flags), (flag) => `--${flag}`);
    throw new UsageError(`there is no option ${token.rawName}${near}`);
  }
}

/** "Usage: ./cupola push DIR [OPTIONS]" */
export function usageOf(name: string, { words }: Listed, { flags }: Command): string {
  const parts = [name, words, Object.keys(flags).length > 0 ? '[OPTIONS]' : undefined];
  return `Usage: ./cupola ${parts.filter((part) => part !== undefined).join(' ')}`;
}

/** What `./cupola NAME --help` prints. */
export function helpOf(name: string, listed: Listed, command: Command): string {
  const rows = Object.entries(command.flags).map(([flag, { short, help, multiple, ...rest }]) => ({
    left: `${short === undefined ? '' : `-${short}, `}${spelled(flag, { ...rest, help })}`,
    right: multiple ? `may be given again: ${help}` : help,
  }));
  const width = Math.max(0, ...rows.map(({ left }) => left.length));
  const lines = rows.map(({ left, right }) => `  ${left.padEnd(width)}  ${right}`);
  return `${[usageOf(name, listed, command), '', listed.summary, ...(lines.length > 0 ? ['', ...lines] : [])].join('\n')}\n`;
}

function spelled(flag: string, { takes }: Flag): string {
  return `--${flag}${takes === undefined ? '' : ` ${takes}`}`;
}
