import type { Static, TSchema } from 'typebox';
import Value from 'typebox/value';
import type { SeparableRole } from '../roles/names.ts';
import type { PlatformSettings } from './schema.ts';
import type { Words } from './words.ts';

/** What an operator may say of an installation with `./cupola up`. */
export interface SettingValues {
  keyFile: string;
  domain: string;
  bindAddress: string;
  httpsPort: number;
  cells: number;
  zones: number;
  cellTags: string[][];
  ssh: boolean;
  sshPort: number;
  http2Apps: boolean;
  unpackAhead: boolean;
  engineSources: string[];
  separateRoles: SeparableRole[];
  stagingEnvironment: Record<string, string>;
  allowedRegistries: string[];
  insecureRegistries: string[];
  organizationStorage: number;
  diskReserve: number;
  maximumAppDisk: number;
  userRequests: number;
  anonymousRequests: number;
}
export type SettingName = keyof SettingValues;

/**
 * What becomes of it at a later `up`. `set`: it may be said anew, and what runs knows of it from its next start. `kept`: what holds since
 * the installation, which must be the same where it is said again.
 */
export type Afterwards<Value> =
  | { set: (settings: PlatformSettings, value: Value) => PlatformSettings }
  | { kept: (settings: PlatformSettings) => unknown };

/** One option of `up`: everything there is to know of it. */
export interface SettingOption<Value> {
  /** Without the two dashes. */
  flag: string;
  /** What stands behind it, e.g. "MB". */
  takes: string;
  /** It may be given several times. */
  many?: boolean;
  help: string;
  /** Where it stands in settings.json. */
  setting: string;
  /** What holds where nobody says it, in words. */
  unlessTold: string;
  /** "--flag takes …" */
  accepts: string;
  read(words: Words): unknown;
  check(value: unknown): value is Value;
  afterwards: Afterwards<Value>;
}

type Declared<Value> = Omit<SettingOption<Value>, 'check'>;

/** What is declared of it, and its shape. */
export function option<Shape extends TSchema>(
  shape: Shape,
  declared: Declared<Static<Shape>>,
): SettingOption<Static<Shape>> {
  return { ...declared, check: (value): value is Static<Shape> => Value.Check(shape, value) };
}
