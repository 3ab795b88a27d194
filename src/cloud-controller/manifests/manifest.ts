import { parseRouteString, type RouteString } from './route-string.ts';
import { parseLogRate, parseMegabytes, sizeSentence } from './sizes.ts';

/** One app of a manifest, read and checked. Absent fields mean "leave as it is". */
export interface ManifestApp {
  name: string;
  /** As an array even where the manifest said `buildpack`; empty: detect. */
  buildpacks?: string[];
  stack?: string;
  /** The app is of a container image; a push brings it in a package of its own. */
  docker?: { image?: string; username?: string };
  env?: Record<string, string>;
  processes: ManifestProcess[];
  routes?: ManifestRoute[];
  noRoute: boolean;
  randomRoute: boolean;
  defaultRoute: boolean;
  sidecars: ManifestSidecar[];
  metadata?: { labels: Record<string, string | null>; annotations: Record<string, string | null> };
  features: Record<string, boolean>;
  services: string[];
}

export interface ManifestProcess {
  type: string;
  /** null: what the buildpack says. */
  command?: string | null;
  instances?: number;
  memoryMb?: number;
  diskMb?: number;
  logRateLimit?: number;
  healthCheck: ManifestHealthCheck;
  readinessCheck: ManifestHealthCheck;
}

export interface ManifestHealthCheck {
  type?: string;
  endpoint?: string;
  timeout?: number;
  invocationTimeout?: number;
  interval?: number;
}

export interface ManifestRoute {
  spelling: string;
  route: RouteString;
  protocol: 'http1' | 'http2' | null;
}

export interface ManifestSidecar {
  name: string;
  command: string;
  processTypes: string[];
  memoryMb: number | null;
}

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** "health-check-type" and "health_check_type" are the same key. */
export function underscored(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key.replaceAll('-', '_'), value]));
}

/** The apps of a parsed manifest, and every problem in the API's words ("For application 'x': …"). */
export function readManifest(document: unknown): { apps: ManifestApp[]; raw: Fields[]; problems: string[] } {
  const top = isFields(document) ? document : {};
  if (top['version'] !== undefined && top['version'] !== null && top['version'] !== 1) {
    return refuse('Unsupported manifest schema version. Currently supported versions: [1].');
  }
  const applications = top['applications'];
  if (!Array.isArray(applications) || applications.length === 0) {
    return refuse("Cannot parse manifest with no 'applications' field.");
  }
  const problems: string[] = [];
  const apps: ManifestApp[] = [];
  for (const [index, entry] of applications.entries()) {
    const reader = new AppReader(isFields(entry) ? underscored(entry) : {});
    const app = reader.read();
    const who = app.name ? `For application '${app.name}'` : `For application at index ${index}`;
    problems.push(...reader.problems.map((problem) => `${who}: ${problem}`));
    apps.push(app);
  }
  return { apps, raw: applications.filter(isFields), problems };
}

function refuse(problem: string): { apps: ManifestApp[]; raw: Fields[]; problems: string[] } {
  return { apps: [], raw: [], problems: [problem] };
}

const FEATURES = ['ssh', 'revisions', 'rolling-restarts'];
const HEALTH_CHECK_TYPES = ['port', 'process', 'http'];

/** Reads one app; each method is one subject and adds its own problems. */
class AppReader {
  readonly problems: string[] = [];
  readonly #fields: Fields;

  constructor(fields: Fields) {
    this.#fields = fields;
  }

  read(): ManifestApp {
    const fields = this.#fields;
    const name = typeof fields['name'] === 'string' ? fields['name'] : '';
    if (!name) this.problems.push('Name must not be empty');
    if (name.length > 255) this.problems.push('Name is too long (maximum is 255 characters)');
    const app: ManifestApp = {
      name,
      processes: this.#processes(),
      noRoute: this.#flag('no_route', 'No-route'),
      randomRoute: this.#flag('random_route', 'Random-route'),
      defaultRoute: this.#flag('default_route', 'Default-route'),
      sidecars: this.#sidecars(),
      features: this.#features(),
      services: this.#services(),
    };
    if (app.randomRoute && app.defaultRoute) {
      this.problems.push('Random-route and default-route may not be used together');
    }
    const buildpacks = this.#buildpacks();
    if (buildpacks) app.buildpacks = buildpacks;
    if (typeof fields['stack'] === 'string') app.stack = fields['stack'];
    const env = this.#env();
    if (env) app.env = env;
    const routes = this.#routes();
    if (routes) app.routes = routes;
    const metadata = this.#metadata();
    if (metadata) app.metadata = metadata;
    const docker = this.#docker();
    if (docker) app.docker = docker;
    return app;
  }

  #docker(): ManifestApp['docker'] | null {
    const { docker, lifecycle, buildpack, buildpacks } = this.#fields;
    const asked = docker !== undefined && docker !== null;
    if (lifecycle !== undefined && lifecycle !== null && lifecycle !== 'buildpack' && lifecycle !== 'docker') {
      this.problems.push('Lifecycle type is not included in the list: buildpack, docker');
    }
    if (!asked) return lifecycle === 'docker' ? {} : null;
    if (buildpack !== undefined || buildpacks !== undefined) {
      this.problems.push('Cannot specify both buildpack(s) and docker keys');
    }
    const { image, username } = isFields(docker) ? docker : {};
    if (!isFields(docker) || [image, username].some((text) => text !== undefined && typeof text !== 'string')) {
      this.problems.push('Docker must be an object with an image and a username');
      return null;
    }
    return {
      ...(typeof image === 'string' ? { image } : {}),
      ...(typeof username === 'string' ? { username } : {}),
    };
  }

  #flag(key: string, label: string): boolean {
    const value = this.#fields[key];
    if (value !== undefined && value !== null && typeof value !== 'boolean') {
      this.problems.push(`${label} must be a boolean`);
    }
    return value === true;
  }

  #buildpacks(): string[] | null {
    const { buildpack, buildpacks } = this.#fields;
    if (buildpack !== undefined && buildpacks !== undefined) {
      this.problems.push('Buildpack and Buildpacks fields cannot be used together.');
    }
    if (buildpacks !== undefined && buildpacks !== null) {
      if (!Array.isArray(buildpacks) || !buildpacks.every((item) => typeof item === 'string')) {
        this.problems.push('Buildpacks can only contain strings');
        return null;
      }
      return buildpacks;
    }
    if (buildpack === undefined) return null;
    if (buildpack === null || buildpack === 'null' || buildpack === 'default') return [];
    if (typeof buildpack !== 'string') {
      this.problems.push('Buildpack must be a string');
      return null;
    }
    return [buildpack];
  }

  #env(): Record<string, string> | null {
    const env = this.#fields['env'];
    if (env === undefined || env === null) return null;
    if (!isFields(env)) {
      this.problems.push('Env must be an object of keys and values');
      return null;
    }
    for (const problem of environmentProblems(env)) this.problems.push(`Env ${problem}`);
    return Object.fromEntries(Object.entries(env).map(([key, value]) => [key, environmentText(value)]));
  }

  #routes(): ManifestRoute[] | null {
    const routes = this.#fields['routes'];
    if (routes === undefined || routes === null) return null;
    if (!Array.isArray(routes) || !routes.every((item) => isFields(item) && typeof item['route'] === 'string')) {
      this.problems.push('Routes must be a list of route objects');
      return null;
    }
    return routes.flatMap((item: Fields) => {
      const spelling = String(item['route']);
      const route = parseRouteString(spelling);
      const protocol = item['protocol'] ?? null;
      if (!route) this.problems.push(`The route '${spelling}' is not a properly formed URL`);
      if (protocol !== null && protocol !== 'http1' && protocol !== 'http2') {
        this.problems.push("Route protocol must be 'http1', 'http2' or 'tcp'.");
        return [];
      }
      return route ? [{ spelling, route, protocol }] : [];
    });
  }

  #processes(): ManifestProcess[] {
    const listed = this.#fields['processes'];
    const own = this.#process(this.#fields, 'web');
    if (listed === undefined || listed === null) return isTrivial(own) ? [] : [own];
    if (!Array.isArray(listed)) {
      this.problems.push('Processes must be an array of process configurations');
      return [];
    }
    const processes: ManifestProcess[] = [];
    for (const item of listed) {
      const fields = isFields(item) ? underscored(item) : {};
      const type = fields['type'];
      if (typeof type !== 'string' || type === '' || type.length > 255) {
        this.problems.push('All Processes must specify a type');
        continue;
      }
      if (processes.some((process) => process.type === type)) {
        this.problems.push(`Process "${type}" may only be present once`);
        continue;
      }
      processes.push(this.#process(fields, type));
    }
    // A listed web process replaces what stands at the app's level.
    return isTrivial(own) || processes.some((process) => process.type === 'web') ? processes : [own, ...processes];
  }

  #process(fields: Fields, type: string): ManifestProcess {
    const say = (problem: string): void => {
      this.problems.push(`Process "${type}": ${problem}`);
    };
    const process: ManifestProcess = { type, healthCheck: {}, readinessCheck: {} };
    if (fields['command'] !== undefined) {
      const command = fields['command'];
      if (command === null || command === 'null' || command === 'default') process.command = null;
      else if (typeof command === 'string' && command.length <= 4096) process.command = command;
      else say('Command must be between 1 and 4096 characters');
    }
    const instances = wholeNumber(fields['instances'], 0, 10_000);
    if (instances === 'bad') say('Instances must be greater than or equal to 0');
    else if (instances !== null) process.instances = instances;
    const memory = megabytes(fields['memory'], 'Memory', say);
    if (memory !== null) process.memoryMb = memory;
    const disk = megabytes(fields['disk_quota'], 'Disk quota', say);
    if (disk !== null) process.diskMb = disk;
    const rate = fields['log_rate_limit_per_second'];
    if (rate !== undefined && rate !== null) {
      const parsed = parseLogRate(String(rate));
      if ('problem' in parsed) say(sizeSentence('Log rate limit per second', parsed.problem));
      else if (parsed.bytes < -1 || parsed.bytes > 2 ** 31 - 1)
        say('Log rate limit must be greater than or equal to -1');
      else process.logRateLimit = parsed.bytes;
    }
    process.healthCheck = readCheck(fields, 'health_check', say);
    const timeout = wholeNumber(fields['timeout'] ?? fields['health_check_timeout'], 1, 86_400);
    if (timeout === 'bad') say('Timeout must be greater than or equal to 1');
    else if (timeout !== null) process.healthCheck.timeout = timeout;
    process.readinessCheck = readCheck(fields, 'readiness_health_check', say);
    return process;
  }

  #sidecars(): ManifestSidecar[] {
    const sidecars = this.#fields['sidecars'];
    if (sidecars === undefined || sidecars === null) return [];
    if (!Array.isArray(sidecars)) {
      this.problems.push('Sidecars must be an array of sidecar configurations');
      return [];
    }
    return sidecars.flatMap((item) => {
      const { name, command, process_types: types, memory } = isFields(item) ? underscored(item) : {};
      const known = typeof name === 'string' && typeof command === 'string' && Array.isArray(types);
      if (!known || types.length === 0 || !types.every((type) => typeof type === 'string')) {
        this.problems.push('Sidecar name, command and process_types must be given');
        return [];
      }
      const size = megabytes(memory, 'Memory', (problem) => this.problems.push(`Sidecar "${name}": ${problem}`));
      return [{ name, command, processTypes: types, memoryMb: size }];
    });
  }

  #features(): Record<string, boolean> {
    const features = this.#fields['features'];
    if (features === undefined || features === null) return {};
    if (!isFields(features) || !Object.values(features).every((value) => typeof value === 'boolean')) {
      this.problems.push(
        'Features must be a map of valid feature names to booleans (true = enabled, false = disabled)',
      );
      return {};
    }
    const unknown = Object.keys(features).filter((name) => !FEATURES.includes(name));
    if (unknown.length > 0) this.problems.push(`Features contains invalid feature names: ${unknown.join(', ')}`);
    return features as Record<string, boolean>;
  }

  #services(): string[] {
    const services = this.#fields['services'];
    if (services === undefined || services === null) return [];
    if (!Array.isArray(services)) {
      this.problems.push('Services must be a list of service instances');
      return [];
    }
    return services.map((item) => String(isFields(item) ? item['name'] : item));
  }

  #metadata(): ManifestApp['metadata'] | null {
    const metadata = this.#fields['metadata'];
    if (metadata === undefined || metadata === null) return null;
    const { labels = {}, annotations = {} } = isFields(metadata) ? metadata : { labels: null };
    if (!isFields(labels) || !isFields(annotations)) {
      this.problems.push('Metadata must be an object');
      return null;
    }
    const texts = (values: Fields): Record<string, string | null> =>
      Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value === null ? null : String(value)]));
    return { labels: texts(labels), annotations: texts(annotations) };
  }
}

function isTrivial(process: ManifestProcess): boolean {
  const { type: _type, healthCheck, readinessCheck, ...rest } = process;
  return [rest, healthCheck, readinessCheck].every((part) => Object.keys(part).length === 0);
}

function wholeNumber(value: unknown, least: number, most: number): number | 'bad' | null {
  if (value === undefined || value === null) return null;
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most ? number : 'bad';
}

function megabytes(value: unknown, label: string, say: (problem: string) => void): number | null {
  if (value === undefined || value === null) return null;
  const parsed = parseMegabytes(String(value));
  if ('problem' in parsed) say(sizeSentence(label, parsed.problem));
  else if (parsed.megabytes < 1 || parsed.megabytes > 2 ** 31 - 1) say(`${label} must be greater than 0MB`);
  else return parsed.megabytes;
  return null;
}

function readCheck(fields: Fields, prefix: string, say: (problem: string) => void): ManifestHealthCheck {
  const check: ManifestHealthCheck = {};
  const label = prefix === 'health_check' ? 'Health check' : 'Readiness health check';
  const type = fields[`${prefix}_type`] === 'none' ? 'process' : fields[`${prefix}_type`];
  if (type !== undefined && type !== null) {
    if (typeof type === 'string' && HEALTH_CHECK_TYPES.includes(type)) check.type = type;
    else say(`${label} type must be "port", "process", or "http"`);
  }
  const endpoint = fields[`${prefix}_http_endpoint`];
  if (endpoint !== undefined && endpoint !== null) {
    if (typeof endpoint === 'string' && /^\/[^\s]{0,254}$/.test(endpoint)) check.endpoint = endpoint;
    else say(`${label} HTTP endpoint must be a valid URI path`);
  }
  for (const [key, field] of [
    ['invocation_timeout', 'invocationTimeout'],
    ['interval', 'interval'],
  ] as const) {
    const value = wholeNumber(fields[`${prefix}_${key}`], 1, 86_400);
    if (value === 'bad') say(`${label} ${key.replace('_', ' ')} must be greater than or equal to 1`);
    else if (value !== null) check[field] = value;
  }
  return check;
}

function environmentText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What the API says about names no app may set. */
export function environmentProblems(variables: Readonly<Record<string, unknown>>): string[] {
  const problems = new Set<string>();
  for (const name of Object.keys(variables)) {
    if (name === '') problems.add('key must be a minimum length of 1');
    if (/^VCAP_/i.test(name)) problems.add('cannot start with VCAP_');
    if (/^VMC_/i.test(name)) problems.add('cannot start with VMC_');
    if (name === 'PORT') problems.add('cannot set PORT');
    if (/[=\0]/.test(name)) problems.add('key must not contain "=" or NUL');
  }
  return [...problems];
}
