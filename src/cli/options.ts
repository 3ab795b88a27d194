import { resolve } from 'node:path';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { CupolaError } from '../kit/errors.ts';
import { DEFAULT_DATA_DIRECTORY, loadSettings, type PlatformSettings } from '../platform/settings.ts';

/** The command line is wrong: usage, and exit code 2. */
export class UsageError extends Error {}

/** One word after `./cupola`. */
export interface Command {
  /** e.g. "status [--json]" */
  usage: string;
  summary: string;
  /** Gives the exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** Every command knows `--data`; CUPOLA_DATA says the same. */
export const DATA_OPTION = { data: { type: 'string' } } as const;

/** util.parseArgs, its complaints as usage errors. */
export function parse<Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  positionals = false,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: positionals, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

export function dataDirectory(value: string | undefined): string {
  return resolve(value ?? process.env['CUPOLA_DATA'] ?? DEFAULT_DATA_DIRECTORY);
}

/** The installation in that directory. Throws `not_installed`. */
export function installation(value: string | undefined): PlatformSettings {
  requireRoot();
  const directory = dataDirectory(value);
  const settings = loadSettings(directory);
  if (!settings) throw new CupolaError('not_installed', `nothing is installed in ${directory}; ./cupola up does it`);
  return settings;
}

/** Data directory, engines and containers are root's. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new CupolaError('not_root', 'run this as root, for example with sudo');
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
