import { parseArgs } from 'node:util';
import { DATA_OPTION } from '../platform/settings/data-option.ts';
import { meant } from './nearest.ts';

/** The command line is wrong: usage, and exit code 2. */
export class UsageError extends Error {}

/** One option of a command, as util.parseArgs takes it, with all else there is to know of it: help, check, completion, docs. */
export interface Flag {
  type: 'string' | 'boolean';
  short?: string;
  /** It may be given several times: its words are a list. */
  multiple?: boolean;
  /** What stands behind it, of a string: "on|off" takes one of the two, and words.ts knows what else completes it. */
  takes?: string;
  help: string;
  /** What holds where it is not given; "none" goes without saying. */
  unlessTold?: string;
  /** "--flag takes …", where not every word will do, and whether one does. */
  accepts?: string;
  check?(word: string): boolean;
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
  /** What a newcomer wants to know beside the summary, a paragraph each. */
  about?: readonly string[];
  /** Lines to give to a shell. */
  examples?: readonly string[];
  /** `takesWords`: beside options. Gives the exit code. Throws UsageError. */
  run(args: readonly string[], takesWords: boolean): Promise<number>;
}

/** Every command knows it. */
const DATA = {
  [DATA_OPTION.flag]: {
    type: 'string',
    takes: DATA_OPTION.takes,
    help: DATA_OPTION.help,
    unlessTold: DATA_OPTION.unlessTold,
  },
} as const;

/** The same in every command that has it. */
export const JSON_FLAG = { json: { type: 'boolean', help: 'answer in JSON, for programs' } } as const;

interface Declared<Own extends Flags> {
  flags: Own;
  about?: readonly string[];
  examples?: readonly string[];
  run(given: ReturnType<typeof parse<Own & typeof DATA>>): Promise<number>;
}

/** A command as it is declared: usage, `--help` and what its options give come from there. */
export function command<Own extends Flags>({ flags, run, ...said }: Declared<Own>): Command {
  const all = { ...flags, ...DATA };
  return { ...said, flags: all, run: async (args, takesWords) => run(parse(args, all, takesWords)) };
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

/** Throws UsageError for an option that there is not, or that does not take what it was given; it repeats nothing of a value. */
function refuseUnknown(args: readonly string[], flags: Flags): void {
  const { tokens } = parseArgs({
    args: [...args],
    options: flags,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (flag === undefined) {
      const near = meant(token.name, Object.keys(flags), (one) => `--${one}`);
      throw new UsageError(`there is no option ${token.rawName}${near}`);
    }
    if (token.value !== undefined) refuseWord(token.name, flag, token.value);
  }
}

function refuseWord(name: string, { takes = '', accepts, check }: Flag, word: string): void {
  const choices = choicesOf(takes);
  const taken = check ? check(word) : choices.length === 0 || choices.includes(word);
  if (!taken) throw new UsageError(`--${name} takes ${accepts ?? choices.join(' or ')}`);
}

/** The words of "on|off"; none where it is anything else. */
export function choicesOf(takes: string): string[] {
  return /^[a-z0-9-]+(\|[a-z0-9-]+)+$/.test(takes) ? takes.split('|') : [];
}
