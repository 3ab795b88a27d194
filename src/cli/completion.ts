import { bash, fish, type ShellCompletion, zsh } from '@optique/core/completion';
import { type Message, text } from '@optique/core/message';
import { DATA_OPTION } from '../platform/settings/data-option.ts';
import { choicesOf, type Flag, type Flags, type Listed } from './command.ts';
import { dataDirectory } from './options.ts';
import { meantBy, wordsAfter } from './words.ts';

export const SHELLS: Readonly<Record<string, ShellCompletion>> = { bash, zsh, fish };

/** One thing that may stand where the cursor is. */
export type Suggestion =
  | { kind: 'literal'; text: string; description?: Message }
  | { kind: 'file'; type: 'file' | 'directory'; pattern: string; prefix?: string };

/**
 * What a shell reads: it asks this program at each TAB. `program`: where that lies; it becomes a command of the shell where there is no
 * other `cupola`, so that a completed line runs from every directory.
 */
export function completionScript(shell: string, program: string): string {
  const path = `'${program.replaceAll("'", `'\\''`)}'`;
  const named =
    shell === 'fish'
      ? `if not type -q cupola\n    function cupola\n        ${path} $argv\n    end\nend\n`
      : `if ! command -v cupola >/dev/null 2>&1; then\n  cupola() { ${path} "$@"; }\nfi\n`;
  return `${named}${SHELLS[shell]!.generateScript('cupola', ['completion', shell, '--'])}\n`;
}

/** Suggestions in the form in which the script of that shell reads them. */
export function answered(shell: string, found: readonly Suggestion[]): Iterable<string> {
  return SHELLS[shell]!.encodeSuggestions(found);
}

/** What may stand for the last of the words behind `cupola`, which may be empty or begun. */
export async function suggestions(
  commands: Readonly<Record<string, Listed>>,
  words: readonly string[],
): Promise<Suggestion[]> {
  const begun = words.at(-1) ?? '';
  const [name, ...before] = words.slice(0, -1);
  const all = await possible(commands, name, before, begun);
  return all.filter((one) => one.kind === 'file' || one.text.startsWith(begun));
}

async function possible(
  commands: Readonly<Record<string, Listed>>,
  name: string | undefined,
  before: readonly string[],
  begun: string,
): Promise<Suggestion[]> {
  const names = Object.entries(commands).map(([one, { summary }]) => literal(one, summary));
  if (name === undefined) {
    const options = [literal('--help', 'show the commands'), literal('--version', 'show which code this is')];
    return begun.startsWith('-') ? options : [...names, literal('help', 'show what a command takes')];
  }
  if (name === 'help') return before.length === 0 ? names : [];
  const listed = Object.hasOwn(commands, name) ? commands[name]! : undefined;
  if (!listed) return [];
  const { flags } = await listed.load();
  const { positionals, waiting, given } = read(before, flags);
  const data = (): string => dataDirectory(given.get(DATA_OPTION.flag));
  if (waiting) return valuesOf(waiting, data, begun);
  const [, flag = '', value] = /^--([^=]+)=(.*)$/s.exec(begun) ?? [];
  if (value !== undefined) return flags[flag] ? valuesOf(flags[flag], data, begun, `--${flag}=`) : [];
  if (begun.startsWith('-')) return [...optionsOf(flags, given), literal('--help', 'show what it takes')];
  return wordsAfter(listed.words ?? '', positionals).flatMap((word) => standFor(word, data, begun));
}

/** What stands on the line already. `waiting`: the option whose word is being written. */
function read(words: readonly string[], flags: Flags) {
  const positionals: string[] = [];
  const given = new Map<string, string>();
  let waiting: Flag | undefined;
  let name = '';
  for (const word of words) {
    const [, flag, , value] = /^--?([^=]+)(=(.*))?$/s.exec(word) ?? [];
    if (waiting) {
      given.set(name, word);
      waiting = undefined;
    } else if (flag === undefined) positionals.push(word);
    else {
      name = Object.keys(flags).find((one) => one === flag || flags[one]!.short === flag) ?? flag;
      given.set(name, value ?? '');
      if (flags[name]?.type === 'string' && value === undefined) waiting = flags[name];
    }
  }
  return { positionals, given, waiting };
}

function optionsOf(flags: Flags, given: ReadonlyMap<string, string>): Suggestion[] {
  return Object.entries(flags)
    .filter(([name, { multiple }]) => multiple || !given.has(name))
    .map(([name, { help }]) => literal(`--${name}`, help));
}

/** What an option takes. `prefix`: what stands before it in the same word. */
function valuesOf({ takes = '' }: Flag, data: () => string, begun: string, prefix = ''): Suggestion[] {
  const words = choicesOf(takes);
  return (words.length > 0 ? words : [takes]).flatMap((word) => standFor(word, data, begun, prefix));
}

function standFor(word: string, data: () => string, begun: string, prefix = ''): Suggestion[] {
  const meant = meantBy(word, data());
  if (typeof meant !== 'string') return meant.map((one) => literal(`${prefix}${one}`));
  return [{ kind: 'file', type: meant, pattern: begun, ...(prefix === '' ? {} : { prefix }) }];
}

function literal(word: string, description?: string): Suggestion {
  return { kind: 'literal', text: word, ...(description === undefined ? {} : { description: [text(description)] }) };
}
