import { createHash } from 'node:crypto';
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
  /** All on loopback. */
  ports: { control: number; rpc: number; nats: number; rep: number[]; proxy: number[] };
  /** The overlay: cell n has 10.X.n.0/24. */
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
}

export const DEFAULT_DATA_DIRECTORY = '/var/lib/cupola';
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

/** Null where nothing was installed in this directory. */
export function loadSettings(dataDirectory: string): PlatformSettings | null {
  const file = join(dataDirectory, 'settings.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as PlatformSettings) : null;
}

/** Reads the installation's settings or makes them. Throws `settings_conflict` where an option contradicts what is installed. */
export async function ensureSettings(options: UpOptions): Promise<PlatformSettings> {
  const present = loadSettings(options.dataDirectory);
  if (present) {
    const asked = {
      domain: options.domain,
      bindAddress: options.bindAddress,
      httpsPort: options.httpsPort,
      cells: options.cells,
    };
    for (const [name, value] of Object.entries(asked)) {
      if (value !== undefined && value !== present[name as keyof typeof asked]) {
        throw new CupolaError(
          'settings_conflict',
          `${name} is ${present[name as keyof typeof asked]} in ${options.dataDirectory}; destroy it first to change it`,
        );
      }
    }
    return withStagingEnvironment(present, options.stagingEnvironment);
  }
  const cells = options.cells ?? 1;
  if (!Number.isInteger(cells) || cells < 1 || cells > 8)
    throw new CupolaError('invalid_option', '--cells takes 1 to 8');
  const digest = createHash('sha256').update(options.dataDirectory).digest();
  const slot = digest[0]! % 31;
  const free = await freePorts(3 + 2 * cells);
  const settings: PlatformSettings = {
    id: installationId(options.dataDirectory),
    dataDirectory: options.dataDirectory,
    keyFile: options.keyFile ?? join(options.dataDirectory, 'key'),
    domain: options.domain ?? DEFAULT_DOMAIN,
    bindAddress: options.bindAddress ?? '127.0.0.1',
    httpsPort: options.httpsPort ?? 443,
    httpPort: (options.httpsPort ?? 443) === 443 ? 80 : null,
    cells,
    ports: {
      control: free[0]!,
      rpc: free[1]!,
      nats: free[2]!,
      rep: free.slice(3, 3 + cells),
      proxy: free.slice(3 + cells),
    },
    overlay: `10.${200 + slot}`,
    gateway: `169.254.${1 + slot}.1`,
    resolverAddress: `127.0.53.${1 + slot}`,
    uidRangeBase: (16 + slot * 8 * 256) * 65_536,
    adminUser: 'admin',
    ...(options.stagingEnvironment ? { stagingEnvironment: options.stagingEnvironment } : {}),
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

function save(settings: PlatformSettings): void {
  const file = join(settings.dataDirectory, 'settings.json');
  writeFileSync(`${file}.part`, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.part`, file);
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
