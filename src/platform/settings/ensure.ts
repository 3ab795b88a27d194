import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { closeDirectory, realDirectory } from '../../kit/owned-files.ts';
import { freePorts } from '../free-ports.ts';
import { installationId } from '../layout.ts';
import type { SettingName, SettingValues } from './option.ts';
import {
  DEFAULT_BIND_ADDRESS,
  DEFAULT_DOMAIN,
  DEFAULT_HTTPS_PORT,
  DEFAULT_SSH_PORT,
  SETTING_OPTIONS,
} from './options.ts';
import { SETTING_NAMES, settingValue } from './said.ts';
import type { PlatformSettings } from './schema.ts';
import { freeSlot, SLOTS, slotSettings } from './slots.ts';
import { EARLIER, loadSettings, saveSettings } from './store.ts';

/** What is said of an installation; what is not said stays, or is as options.ts has it. */
export interface UpOptions extends Partial<SettingValues> {
  dataDirectory: string;
}

interface Machine {
  /** Its other installations, whose addresses are not to be had. */
  others?: readonly Pick<PlatformSettings, 'overlay'>[];
  /** May refuse new settings before anything is written. */
  check?: (made: PlatformSettings) => Promise<void>;
}

/**
 * Reads the installation's settings or makes them. Throws `settings_conflict` where an option contradicts what is installed,
 * `invalid_option` for what no installation can have.
 */
export async function ensureSettings(
  given: UpOptions,
  { others = [], check = async () => {} }: Machine = {},
): Promise<PlatformSettings> {
  const options = { ...given, dataDirectory: realDirectory(given.dataDirectory) };
  for (const name of SETTING_NAMES) if (options[name] !== undefined) settingValue(name, options[name]);
  const before = loadSettings(options.dataDirectory);
  if (before) {
    const present = await withSsh(before, options);
    for (const name of SETTING_NAMES) refuseConflict(name, present, options);
    const settings = withChanges(present, options);
    if (JSON.stringify(settings) !== JSON.stringify(before)) saveSettings(settings);
    return settings;
  }
  const settings = withChanges(await newSettings(options, others), options);
  await check(settings);
  closeDirectory(options.dataDirectory);
  saveSettings(settings);
  return settings;
}

/** Refuses another value than the one that was chosen for good. */
function refuseConflict(name: SettingName, present: PlatformSettings, options: UpOptions): void {
  const { flag, afterwards } = SETTING_OPTIONS[name];
  if (options[name] === undefined || !('kept' in afterwards)) return;
  const kept = afterwards.kept(present);
  if (JSON.stringify(options[name]) === JSON.stringify(kept)) return;
  const advice = `leave the option out, or destroy the installation first to change it`;
  const is = `--${flag} is ${asTyped(kept)} in ${present.dataDirectory}`;
  throw new CupolaError('settings_conflict', `${is}; ${advice}`);
}

/** A setting that is kept, as it would be said on the command line; "none" where nothing is. */
function asTyped(kept: unknown): string {
  const texts = Array.isArray(kept)
    ? kept.flatMap((tags: string[], cell) => tags.map((tag) => `cell-${cell}=${tag}`))
    : [String(kept ?? '')];
  return texts.join(',') || 'none';
}

function withChanges(settings: PlatformSettings, options: UpOptions): PlatformSettings {
  return SETTING_NAMES.reduce((changed, name) => withChange(changed, name, options[name]), settings);
}

function withChange<Name extends SettingName>(
  settings: PlatformSettings,
  name: Name,
  value: SettingValues[Name] | undefined,
): PlatformSettings {
  const { afterwards } = SETTING_OPTIONS[name];
  return value !== undefined && 'set' in afterwards ? afterwards.set(settings, value) : settings;
}

/** Those of a first `up`. What may be changed later is added by `withChanges`. */
async function newSettings(
  options: UpOptions,
  others: readonly Pick<PlatformSettings, 'overlay'>[],
): Promise<PlatformSettings> {
  const { dataDirectory, cells = 1, zones = 1, cellTags = [], httpsPort = DEFAULT_HTTPS_PORT } = options;
  if (zones > cells) throw refused('zones');
  if (cellTags.length > cells) throw refused('cellTags');
  const digest = createHash('sha256').update(dataDirectory).digest();
  const slot = await freeSlot(digest[0]! % SLOTS, others);
  const free = await freePorts(5 + 2 * cells);
  return {
    id: installationId(dataDirectory),
    dataDirectory,
    keyFile: options.keyFile ?? join(dataDirectory, 'key'),
    domain: options.domain ?? DEFAULT_DOMAIN,
    bindAddress: options.bindAddress ?? DEFAULT_BIND_ADDRESS,
    httpsPort,
    httpPort: httpsPort === 443 ? 80 : null,
    cells,
    zones,
    cellTags,
    sshPort: options.sshPort ?? (httpsPort === 443 ? DEFAULT_SSH_PORT : free[4]!),
    ports: {
      control: free[0]!,
      rpc: free[1]!,
      nats: free[2]!,
      ssh: free[3]!,
      rep: free.slice(5, 5 + cells),
      proxy: free.slice(5 + cells),
    },
    ...slotSettings(slot),
    adminUser: 'admin',
    docker: { allowedRegistries: [], insecureRegistries: [] },
  };
}

function refused(name: SettingName): CupolaError {
  const { flag, accepts } = SETTING_OPTIONS[name];
  return new CupolaError('invalid_option', `--${flag} takes ${accepts}`);
}

/** What an installation from before there was `cf ssh` lacks; and a port, where it is switched on. */
async function withSsh(before: PlatformSettings, options: UpOptions): Promise<PlatformSettings> {
  const undecided = before.ports.ssh === EARLIER.ports.ssh;
  const on = options.ssh ?? (undecided || before.sshPort !== null);
  const [loopback = 0, other = 0] = await freePorts(2);
  const chosen = before.sshPort ?? options.sshPort ?? (before.httpsPort === 443 ? DEFAULT_SSH_PORT : other);
  return {
    ...before,
    ports: { ...before.ports, ssh: undecided ? loopback : before.ports.ssh },
    sshPort: on ? chosen : null,
  };
}
