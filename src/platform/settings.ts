import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { CupolaError } from '../kit/errors.ts';
import { programMountOf } from './program.ts';

/** What one installation is; written at the first `up` and kept. Nothing in it is secret. */
export interface PlatformSettings {
  /** Three letters from the data directory's path: names the run directory, links, tables and cgroups. */
  id: string;
  dataDirectory: string;
  /** Opens the sealed secrets. */
  keyFile: string;
  domain: string;
  bindAddress: string;
  httpsPort: number;
  /** Plain HTTP for apps, null for none. */
  httpPort: number | null;
  cells: number;
  /** Where SSH clients come; the same as `httpsPort` where they come through the router alone. Null: no `cf ssh` (CC-03). */
  sshPort: number | null;
  /** Cell n is in zone z(1 + n mod zones). */
  zones: number;
  /** Placement tags by cell: a cell with tags is an isolation segment's and takes nothing else. */
  cellTags: readonly (readonly string[])[];
  /** Of control, the bus and the SSH proxy's second door and, on the cells' own addresses, their reps and proxies. */
  ports: { control: number; rpc: number; nats: number; ssh: number; rep: number[]; proxy: number[] };
  /** The overlay, "10.X": cell n's containers have 10.X.n.0/24; see addresses.ts for what the platform itself has. */
  overlay: string;
  /** Every container's gateway and name server. */
  gateway: string;
  /** Where the machine itself asks for names. */
  resolverAddress: string;
  uidRangeBase: number;
  /** The administrator's name. */
  adminUser: string;
  /** What the operator sets for every staging container, over what the machine's own registries and proxies say. */
  stagingEnvironment?: Record<string, string>;
  /** Container registries, as "host" or "host:port". Absent in what an earlier version installed: none. */
  docker?: {
    /** May be at internal addresses. */
    allowedRegistries: string[];
    /** May be at internal addresses, and are spoken to over plain HTTP. */
    insecureRegistries: string[];
  };
}

export interface UpOptions {
  dataDirectory: string;
  keyFile?: string;
  domain?: string;
  bindAddress?: string;
  httpsPort?: number;
  cells?: number;
  /** Added to what was set before; an empty value takes a name away. */
  stagingEnvironment?: Record<string, string>;
  zones?: number;
  cellTags?: readonly (readonly string[])[];
  /** 2222 beside HTTPS on 443, else a free one. */
  sshPort?: number;
  /** Off: nobody opens a session in an app, whatever space and app say. */
  ssh?: boolean;
  allowedRegistries?: readonly string[];
  insecureRegistries?: readonly string[];
}

export const DEFAULT_DATA_DIRECTORY = '/var/lib/cupola';
const DEFAULT_SSH_PORT = 2222;
/** What the settings of an earlier version do not say. */
const EARLIER = { zones: 1, cellTags: [], sshPort: null, ports: { ssh: 0 } };
export const DEFAULT_DOMAIN = 'cupola.localhost';

/** Where everything lies. The data directory is 0700; what other accounts need is shown under /run by bind mounts. */
export interface Layout {
  settings: PlatformSettings;
  /** 0711, root. */
  run: string;
  /** The project, read-only, for accounts that cannot walk to it. */
  program: string;
  logs: string;
  stacks: string;
  buildpacks: string;
  secretsFile: string;
  supervisorSocket: string;
  processesFile: string;
  /** The certificates that were issued to components last. */
  certificatesFile: string;
  /** Where control and each cell hear the supervisor. */
  adminSocketOf(component: string): string;
  /** What the holder of listening sockets holds. */
  listenersFile: string;
  /** Node.js, program and data directory of the supervisor, a line each. */
  supervisorCommand: string;
}

export function layoutOf(settings: PlatformSettings): Layout {
  const run = `/run/cupola-${settings.id}`;
  const data = settings.dataDirectory;
  return {
    settings,
    run,
    program: programMountOf(run),
    logs: `${data}/logs`,
    stacks: `${data}/stacks`,
    buildpacks: `${data}/buildpacks`,
    secretsFile: `${data}/secrets.json`,
    supervisorSocket: `${run}/supervisor.sock`,
    processesFile: `${run}/processes.json`,
    certificatesFile: `${run}/certificates.json`,
    adminSocketOf: (component) => `${run}/${component}-admin/admin.sock`,
    listenersFile: `${run}/listeners.json`,
    supervisorCommand: `${run}/supervisor.command`,
  };
}

/** Three letters of a data directory. */
export function installationId(dataDirectory: string): string {
  const digest = createHash('sha256').update(dataDirectory).digest();
  return [1, 2, 3].map((index) => String.fromCharCode(97 + (digest[index]! % 26))).join('');
}

/** Held by whoever changes the installation as a whole. In /run: a destroyed data directory must not take it along. */
export function lockFileOf(dataDirectory: string): string {
  return `/run/cupola-${installationId(dataDirectory)}.lock`;
}

/** The system hosts: lead to control, and no app can have them. */
export function systemHosts(domain: string): string[] {
  return ['api', 'uaa', 'login', 'log-cache', 'ssh', 'credhub', 'doppler'].map((name) => `${name}.${domain}`);
}

/** `https://api.<domain>`, with the port where it is not 443. */
export function publicUrl(settings: PlatformSettings, name: string): string {
  const port = settings.httpsPort === 443 ? '' : `:${settings.httpsPort}`;
  return `https://${name}.${settings.domain}${port}`;
}

/** `ssh.<domain>:2222`, as clients are told; null where there is no `cf ssh`. */
export function sshEndpoint(settings: PlatformSettings): string | null {
  return settings.sshPort === null ? null : `ssh.${settings.domain}:${settings.sshPort}`;
}

/** Null where nothing was installed in this directory. */
export function loadSettings(dataDirectory: string): PlatformSettings | null {
  const file = join(dataDirectory, 'settings.json');
  if (!existsSync(file)) return null;
  const stored = JSON.parse(readFileSync(file, 'utf8')) as PlatformSettings;
  return { ...EARLIER, ...stored, ports: { ...EARLIER.ports, ...stored.ports } };
}

/** Reads the installation's settings or makes them. Throws `settings_conflict` where an option contradicts what is installed. */
export async function ensureSettings(options: UpOptions): Promise<PlatformSettings> {
  const before = loadSettings(options.dataDirectory);
  if (before) {
    const present = await withSsh(before, options);
    const asked = {
      domain: options.domain,
      bindAddress: options.bindAddress,
      httpsPort: options.httpsPort,
      cells: options.cells,
      zones: options.zones,
      cellTags: options.cellTags,
      sshPort: options.sshPort,
    };
    for (const [name, value] of Object.entries(asked)) {
      const kept = JSON.stringify(present[name as keyof typeof asked]);
      if (value !== undefined && JSON.stringify(value) !== kept) {
        throw new CupolaError(
          'settings_conflict',
          `${name} is ${kept} in ${options.dataDirectory}; destroy it first to change it`,
        );
      }
    }
    return withRegistries(withStagingEnvironment(present, options.stagingEnvironment), options);
  }
  const cells = options.cells ?? 1;
  if (!Number.isInteger(cells) || cells < 1 || cells > 8)
    throw new CupolaError('invalid_option', '--cells takes 1 to 8');
  const zones = options.zones ?? 1;
  if (!Number.isInteger(zones) || zones < 1 || zones > cells)
    throw new CupolaError('invalid_option', '--zones takes 1 to the number of cells');
  const cellTags = options.cellTags ?? [];
  if (cellTags.length > cells) throw new CupolaError('invalid_option', `--cell-tags names cell-${cellTags.length - 1}`);
  const digest = createHash('sha256').update(options.dataDirectory).digest();
  const slot = await freeSlot(digest[0]! % SLOTS);
  const free = await freePorts(5 + 2 * cells);
  const httpsPort = options.httpsPort ?? 443;
  const settings: PlatformSettings = {
    id: installationId(options.dataDirectory),
    dataDirectory: options.dataDirectory,
    keyFile: options.keyFile ?? join(options.dataDirectory, 'key'),
    domain: options.domain ?? DEFAULT_DOMAIN,
    bindAddress: options.bindAddress ?? '127.0.0.1',
    httpsPort,
    httpPort: httpsPort === 443 ? 80 : null,
    cells,
    zones,
    cellTags,
    sshPort: options.ssh === false ? null : (options.sshPort ?? (httpsPort === 443 ? DEFAULT_SSH_PORT : free[4]!)),
    ports: {
      control: free[0]!,
      rpc: free[1]!,
      nats: free[2]!,
      ssh: free[3]!,
      rep: free.slice(5, 5 + cells),
      proxy: free.slice(5 + cells),
    },
    overlay: `10.${200 + slot}`,
    gateway: `169.254.${1 + slot}.1`,
    resolverAddress: resolverOf(slot),
    uidRangeBase: (16 + slot * 8 * 256) * 65_536,
    adminUser: 'admin',
    ...(options.stagingEnvironment ? { stagingEnvironment: options.stagingEnvironment } : {}),
    docker: {
      allowedRegistries: checkedRegistries(options.allowedRegistries ?? []),
      insecureRegistries: checkedRegistries(options.insecureRegistries ?? []),
    },
  };
  mkdirSync(options.dataDirectory, { recursive: true, mode: 0o700 });
  chmodSync(options.dataDirectory, 0o700);
  save(settings);
  return settings;
}

function withStagingEnvironment(present: PlatformSettings, added: Record<string, string> = {}): PlatformSettings {
  if (Object.keys(added).length === 0) return present;
  const all = Object.entries({ ...present.stagingEnvironment, ...added });
  const settings = { ...present, stagingEnvironment: Object.fromEntries(all.filter(([, value]) => value !== '')) };
  save(settings);
  return settings;
}

/** What an installation from before there was `cf ssh` lacks; and the switch for it, which can be turned at any `up`. */
async function withSsh(before: PlatformSettings, options: UpOptions): Promise<PlatformSettings> {
  const undecided = before.ports.ssh === EARLIER.ports.ssh;
  const [loopback = 0, other = 0] = await freePorts(2);
  const chosen = before.sshPort ?? options.sshPort ?? (before.httpsPort === 443 ? DEFAULT_SSH_PORT : other);
  const on = options.ssh ?? (undecided || before.sshPort !== null);
  const settings = {
    ...before,
    ports: { ...before.ports, ssh: undecided ? loopback : before.ports.ssh },
    sshPort: on ? chosen : null,
  };
  if (undecided || settings.sshPort !== before.sshPort) save(settings);
  return settings;
}

/** Registries may be named anew at any `up`; what runs knows of it from its next start. */
function withRegistries(settings: PlatformSettings, options: UpOptions): PlatformSettings {
  if (options.allowedRegistries === undefined && options.insecureRegistries === undefined) return settings;
  const changed = {
    ...settings,
    docker: {
      allowedRegistries: checkedRegistries(options.allowedRegistries ?? settings.docker?.allowedRegistries ?? []),
      insecureRegistries: checkedRegistries(options.insecureRegistries ?? settings.docker?.insecureRegistries ?? []),
    },
  };
  save(changed);
  return changed;
}

function checkedRegistries(names: readonly string[]): string[] {
  for (const name of names) {
    if (!/^([a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(:\d{1,5})?$/i.test(name)) {
      throw new CupolaError('invalid_option', `"${name}" is not the host (and port) of a registry`);
    }
  }
  return [...names];
}

function save(settings: PlatformSettings): void {
  const file = join(settings.dataDirectory, 'settings.json');
  writeFileSync(`${file}.part`, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.part`, file);
}

/** How many installations one machine has addresses and ranges of user numbers for. */
const SLOTS = 31;

function resolverOf(slot: number): string {
  return `127.0.53.${1 + slot}`;
}

/** The preferred slot, or the next at whose resolver address nobody answers. Throws `no_slot`. */
async function freeSlot(preferred: number): Promise<number> {
  for (let step = 0; step < SLOTS; step += 1) {
    const slot = (preferred + step) % SLOTS;
    if (await isFree(resolverOf(slot))) return slot;
  }
  throw new CupolaError('no_slot', `${SLOTS} installations run on this machine`);
}

function isFree(address: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket('udp4');
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
  socket.bind({ address, port: 53, exclusive: true }, () => socket.close(() => resolve(true)));
  return promise;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async (server) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
      await promise;
      const address = server.address();
      if (address === null || typeof address === 'string') throw new CupolaError('no_port', 'no free port');
      return address.port;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
