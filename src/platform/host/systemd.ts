import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../kit/process.ts';
import { DEFAULT_DATA_DIRECTORY, installationId } from '../layout.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { changing } from './changing.ts';

/** Where the machine's own units lie. */
export const UNITS = '/etc/systemd/system';

/** What a supervisor never does, nor anything below it. Containers have far less. */
const REFUSED_CAPABILITIES = [
  'CAP_AUDIT_CONTROL',
  'CAP_AUDIT_READ',
  'CAP_BLOCK_SUSPEND',
  'CAP_LINUX_IMMUTABLE',
  'CAP_MAC_ADMIN',
  'CAP_MAC_OVERRIDE',
  'CAP_SYSLOG',
  'CAP_SYS_BOOT',
  'CAP_SYS_MODULE',
  'CAP_SYS_PACCT',
  'CAP_SYS_RAWIO',
  'CAP_SYS_TIME',
  'CAP_WAKE_ALARM',
];

export interface UnitOptions {
  settings: PlatformSettings;
  /** Absolute paths: Node.js, the supervisor's program, its log. */
  node: string;
  main: string;
  logFile: string;
}

/** By its id, which does not change with the way its data directory is named. */
export function unitName({ id }: Pick<PlatformSettings, 'id'>): string {
  return id === installationId(DEFAULT_DATA_DIRECTORY) ? 'cupola.service' : `cupola-${id}.service`;
}

/**
 * The unit that starts the supervisor at boot and again when it dies. Engines, control, cells and apps are its children and
 * survive its end (`KillMode=process`): it adopts them. Options that would give it a mount namespace of its own are left out,
 * since its mounts are the machine's: containers stand on them. Those that filter system calls hold for apps too and are few.
 */
export function renderUnit({ settings, node, main, logFile }: UnitOptions): string {
  return `[Unit]
Description=Cupola, the platform in ${escaped(settings.dataDirectory)}
Documentation=file://${escaped(main.replace(/\/src\/platform\/.*$/, '/README.md'))}
After=network-online.target local-fs.target time-sync.target
Wants=network-online.target
RequiresMountsFor=${quoted(settings.dataDirectory)}
StartLimitIntervalSec=0
ConditionPathExists=${escaped(join(settings.dataDirectory, 'settings.json'))}

[Service]
Type=exec
ExecStart=${quoted(node)} ${quoted(main)} ${quoted(settings.dataDirectory)}
WorkingDirectory=/
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
UMask=0022
StandardOutput=append:${escaped(logFile)}
StandardError=inherit

# "./cupola down" ends with success, or stops this unit, and stays down; whatever else ends it has it started again.
Restart=on-failure
RestartSec=1s

# The supervisor alone gets the signal: engines and containers go on.
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=120s
SendSIGKILL=no
Delegate=yes
OOMPolicy=continue
OOMScoreAdjust=-800

LimitNOFILE=1048576
LimitCORE=0
TasksMax=infinity

CapabilityBoundingSet=~${REFUSED_CAPABILITIES.join(' ')}
NoNewPrivileges=yes
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`;
}

/** Whether systemd runs this machine. */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system');
}

/** Writes the unit and has it started at boot. */
export async function installUnit(options: UnitOptions): Promise<string> {
  const name = unitName(options.settings);
  const file = join(UNITS, name);
  changing(file, () => writeFileSync(file, renderUnit(options), { mode: 0o644 }));
  await run('systemctl', ['daemon-reload'], { showWords: true });
  await run('systemctl', ['enable', name], { showWords: true });
  return name;
}

const STOP_MS = 30_000;

/**
 * Ends what the unit runs, or is about to start again, until somebody starts it. Nothing where there is none. Throws `command_failed`,
 * and `command_timeout` where it waits for others, as at a shutdown.
 */
export async function stopUnit(settings: PlatformSettings): Promise<void> {
  if (!isInstalled(settings) || !hasSystemd()) return;
  await run('systemctl', ['stop', unitName(settings)], { timeoutMs: STOP_MS, showWords: true });
}

/** Brings the unit to another checkout after an upgrade, where there is one; what runs goes on. */
export async function refreshUnit(options: UnitOptions): Promise<void> {
  if (isInstalled(options.settings) && hasSystemd()) await installUnit(options);
}

function isInstalled(settings: PlatformSettings): boolean {
  return existsSync(join(UNITS, unitName(settings)));
}

/** Takes the unit away. What it started goes on running, under no unit. False where there was none. */
export async function uninstallUnit(settings: PlatformSettings): Promise<boolean> {
  if (!isInstalled(settings)) return false;
  const name = unitName(settings);
  if (hasSystemd()) await run('systemctl', ['disable', name], { showWords: true });
  const file = join(UNITS, name);
  changing(file, () => rmSync(file, { force: true }));
  if (hasSystemd()) await run('systemctl', ['daemon-reload'], { showWords: true });
  return true;
}

/** A percent sign begins a specifier (systemd.unit(5)). */
function escaped(text: string): string {
  return text.replaceAll('%', '%%');
}

/** One word of a command line (systemd.service(5)). */
function quoted(text: string): string {
  const safe = escaped(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(safe) ? safe : `"${safe}"`;
}
