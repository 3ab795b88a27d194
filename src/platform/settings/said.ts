import { CupolaError } from '../../kit/errors.ts';
import type { SettingName, SettingOption, SettingValues } from './option.ts';
import { SETTING_OPTIONS } from './options.ts';
import type { Words } from './words.ts';

/** Their names, in the order in which they are shown. */
export const SETTING_NAMES = Object.keys(SETTING_OPTIONS).filter((name): name is SettingName =>
  Object.hasOwn(SETTING_OPTIONS, name),
);

/** The value, where the option takes it. Throws `invalid_option`, which repeats nothing of it. */
export function settingValue<Name extends SettingName>(name: Name, value: unknown): SettingValues[Name] {
  const { flag, accepts, check }: SettingOption<SettingValues[Name]> = SETTING_OPTIONS[name];
  if (check(value)) return value;
  throw new CupolaError('invalid_option', `--${flag} takes ${accepts}`);
}

/** What was said on the command line, by flag. Throws `invalid_option`. */
export function readSettings(said: ReadonlyMap<string, Words>): Partial<SettingValues> {
  const values: Partial<SettingValues> = {};
  const take = <Name extends SettingName>(name: Name): void => {
    const { flag, read } = SETTING_OPTIONS[name];
    const words = said.get(flag);
    if (words) values[name] = settingValue(name, read(words));
  };
  for (const name of SETTING_NAMES) take(name);
  return values;
}
