import { readdirSync } from 'node:fs';
import { layoutOf } from '../platform/layout.ts';
import { loadSettings } from '../platform/settings/store.ts';
import { SUITES } from './lanes/suites.ts';

/** What may stand for a word in capitals, as usage has it: words, or what the shell itself finds. */
export type Meant = readonly string[] | 'file' | 'directory';

/** What completes a word in capitals. `data`: the installation's directory. What needs another account's files gives none. */
const PLACEHOLDERS: Readonly<Record<string, (data: string) => Meant>> = {
  FILE: () => 'file',
  DIR: () => 'directory',
  SUITE: () => Object.keys(SUITES),
  CELL: (data) => Array.from({ length: loadSettings(data)?.cells ?? 0 }, (_, number) => `cell-${number}`),
  COMPONENT: (data) => {
    const settings = loadSettings(data);
    return settings ? logsIn(layoutOf(settings).logs) : [];
  },
};

/** The names of the logs that lie in a directory. */
export function logsIn(directory: string): string[] {
  return readdirSync(directory).flatMap((file) => (file.endsWith('.log') ? [file.slice(0, -4)] : []));
}

/**
 * What may stand behind `before`, by usage as it is written: "list | drain CELL" are two ways to go on, "[a|b]" and "a|b" are a choice,
 * and "FILE…" may come again.
 */
export function wordsAfter(usage: string, before: readonly string[]): string[] {
  return usage.split(' | ').flatMap((way) => {
    const places = way.split(' ').map((place) => ({
      again: place.includes('…'),
      words: place.replaceAll(/[[\]…]/g, '').split('|'),
    }));
    const at = (index: number) => places[index] ?? (places.at(-1)?.again ? places.at(-1) : undefined);
    const leads = before.every((word, index) =>
      at(index)?.words.some((known) => known === word || isPlaceholder(known)),
    );
    return leads ? (at(before.length)?.words ?? []) : [];
  });
}

/** "CELL" */
function isPlaceholder(word: string): boolean {
  return /^[A-Z]+$/.test(word);
}

/** A word of usage as what it stands for. */
export function meantBy(word: string, data: string): Meant {
  if (!isPlaceholder(word)) return [word];
  try {
    return PLACEHOLDERS[word]?.(data) ?? [];
  } catch {
    return []; // another account's, or nothing is installed
  }
}
