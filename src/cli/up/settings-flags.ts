import { CupolaError } from '../../kit/errors.ts';
import type { SettingName, SettingValues } from '../../platform/settings/option.ts';
import { SETTING_OPTIONS } from '../../platform/settings/options.ts';
import { readSettings, SETTING_NAMES } from '../../platform/settings/said.ts';
import { type Flag, type Flags, UsageError } from '../command.ts';

/** An option of `up` for each setting that an operator may say. */
export const SETTING_FLAGS: Flags = Object.fromEntries(
  SETTING_NAMES.map((name): [string, Flag] => {
    const { flag, takes, help, unlessTold, many = false, accepts } = SETTING_OPTIONS[name];
    const check = (word: string): boolean => isTaken(name, word);
    return [flag, { type: 'string', takes, multiple: many, help, unlessTold, accepts, check }];
  }),
);

function isTaken<Name extends SettingName>(name: Name, word: string): boolean {
  const { read, check } = SETTING_OPTIONS[name];
  return check(read([word]));
}

/** What the command line says of them. Throws UsageError. */
export function saidSettings(values: Readonly<Record<string, unknown>>): Partial<SettingValues> {
  const said = Object.entries(values).map(([flag, value]) => [flag, wordsOf(value)] as const);
  try {
    return readSettings(new Map(said));
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'invalid_option') throw new UsageError(error.message);
    throw error;
  }
}

function wordsOf(value: unknown): string[] {
  return [value].flat().filter((word) => typeof word === 'string');
}
