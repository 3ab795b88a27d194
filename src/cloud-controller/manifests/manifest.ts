import { isRecord } from '../../kit/json.ts';
import { isPrintable } from '../../kit/printable.ts';
import { APP_FEATURES } from '../apps/features.ts';
import type { Settings } from '../context.ts';
import { environmentProblems } from '../environment-variables.ts';
import { UNPRINTABLE_NAME } from '../names.ts';
import { LOAD_BALANCING, type RouteOptions } from '../routes/options.ts';
import { HTTP2_IS_OFF } from '../routes/protocols.ts';
import type { ManifestApp, ManifestRoute, ManifestSidecar } from './app.ts';
import { bodyProblems } from './bodies.ts';
import { type Fields, underscored } from './fields.ts';
import { isTrivial, type ManifestProcess, megabytes, readProcess } from './processes.ts';
import { parseRouteString } from './route-string.ts';

/** What applying a manifest may take: each app is made and changed one after the other, and so is each of its routes. */
const MOST_APPS = 100;
const MOST_ROUTES = 200;
const MOST_LISTED = 100;
/** A problem may name what stands in the manifest, however long it is. */
const MOST_PROBLEM = 1000;

/** The apps of a parsed manifest, and every problem in the API's words ("For application 'x': …"). */
export function readManifest(
  document: unknown,
  settings: Pick<Settings, 'http2Apps'>,
): { apps: ManifestApp[]; raw: Fields[]; problems: string[] } {
  const top = isRecord(document) ? document : {};
  if (top['version'] !== undefined && top['version'] !== null && top['version'] !== 1) {
    return refuse('Unsupported manifest schema version. Currently supported versions: [1].');
  }
  const applications = top['applications'];
  if (!Array.isArray(applications) || applications.length === 0) {
    return refuse("Cannot parse manifest with no 'applications' field.");
  }
  if (applications.length > MOST_APPS) return refuse(`Applications must have at most ${MOST_APPS} elements`);
  const problems: string[] = [];
  const apps: ManifestApp[] = [];
  for (const [index, entry] of applications.entries()) {
    const reader = new AppReader(isRecord(entry) ? underscored(entry) : {}, settings);
    const app = reader.read();
    const who = app.name ? `For application '${app.name}'` : `For application at index ${index}`;
    problems.push(...reader.problems.map((problem) => `${who}: ${problem}`.slice(0, MOST_PROBLEM)));
    apps.push(app);
  }
  return { apps, raw: applications.filter(isRecord), problems };
}

function refuse(problem: string): { apps: ManifestApp[]; raw: Fields[]; problems: string[] } {
  return { apps: [], raw: [], problems: [problem] };
}

/** Reads one app; each method is one subject and adds its own problems. */
class AppReader {
  readonly problems: string[] = [];
  readonly #fields: Fields;
  readonly #settings: Pick<Settings, 'http2Apps'>;

  constructor(fields: Fields, settings: Pick<Settings, 'http2Apps'>) {
    this.#fields = fields;
    this.#settings = settings;
  }

  read(): ManifestApp {
    const fields = this.#fields;
    const given = fields['name'] ?? '';
    const name = typeof given === 'string' ? given : '';
    if (name !== given) this.problems.push('Name must be a string');
    else if (!name) this.problems.push('Name must not be empty');
    if (name.length > 255) this.problems.push('Name is too long (maximum is 255 characters)');
    this.#checkPrintable('Name', name);
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
    const stack = fields['stack'] ?? undefined;
    if (typeof stack === 'string') app.stack = stack;
    else if (stack !== undefined) this.problems.push('Stack must be a string');
    if ((fields['cnb_credentials'] ?? null) !== null) {
      this.problems.push('Cnb credentials cannot be used: Cloud Native Buildpacks are not available');
    }
    const env = this.#env();
    if (env) app.env = env;
    const routes = this.#routes();
    if (routes) app.routes = routes;
    const metadata = this.#metadata();
    if (metadata) app.metadata = metadata;
    const docker = this.#docker();
    if (docker) app.docker = docker;
    // What the manifest's own words are about already is not told twice.
    if (this.problems.length === 0) this.problems.push(...bodyProblems(app));
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
    const { image, username } = isRecord(docker) ? docker : {};
    if (!isRecord(docker) || [image, username].some((text) => text !== undefined && typeof text !== 'string')) {
      this.problems.push('Docker must be an object with an image and a username');
      return null;
    }
    return {
      ...(typeof image === 'string' ? { image } : {}),
      ...(typeof username === 'string' ? { username } : {}),
    };
  }

  #isTooLong(label: string, list: readonly unknown[], most = MOST_LISTED): boolean {
    if (list.length > most) this.problems.push(`${label} must have at most ${most} elements`);
    return list.length > most;
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
    if (!isRecord(env)) {
      this.problems.push('Env must be an object of keys and values');
      return null;
    }
    for (const problem of environmentProblems(env)) this.problems.push(`Env ${problem}`);
    return Object.fromEntries(Object.entries(env).map(([key, value]) => [key, environmentText(value)]));
  }

  #routes(): ManifestRoute[] | null {
    const routes = this.#fields['routes'];
    if (routes === undefined || routes === null) return null;
    if (!Array.isArray(routes) || !routes.every((item) => isRecord(item) && typeof item['route'] === 'string')) {
      this.problems.push('Routes must be a list of route objects');
      return null;
    }
    if (this.#isTooLong('Routes', routes, MOST_ROUTES)) return null;
    return routes.flatMap((item: Fields) => {
      const spelling = String(item['route']);
      const route = parseRouteString(spelling);
      const protocol = item['protocol'] ?? null;
      if (!route) this.problems.push(`The route '${spelling}' is not a properly formed URL`);
      if (protocol !== null && protocol !== 'http1' && protocol !== 'http2') {
        this.problems.push("Route protocol must be 'http1', 'http2' or 'tcp'.");
        return [];
      }
      if (protocol === 'http2' && !this.#settings.http2Apps) this.problems.push(`Route '${spelling}': ${HTTP2_IS_OFF}`);
      const options = this.#routeOptions(spelling, item['options']);
      return route ? [{ spelling, route, protocol, ...(options ? { options } : {}) }] : [];
    });
  }

  #routeOptions(spelling: string, options: unknown): RouteOptions | null {
    if (options === undefined) return null;
    if (!isRecord(options)) {
      this.problems.push(`Route '${spelling}': options must be an object`);
      return null;
    }
    for (const key of Object.keys(options).filter((name) => name !== 'loadbalancing')) {
      this.problems.push(`Route '${spelling}' contains invalid route option '${key}'. Valid keys: 'loadbalancing'`);
    }
    const { loadbalancing } = options;
    if (loadbalancing === undefined) return {};
    const algorithm = LOAD_BALANCING.find((name) => name === loadbalancing);
    if (algorithm) return { loadbalancing: algorithm };
    const values = `Valid values are: '${LOAD_BALANCING.join(', ')}'`;
    this.problems.push(
      typeof loadbalancing === 'string'
        ? `Cannot use loadbalancing value '${loadbalancing}' for Route '${spelling}'; ${values}`
        : `Invalid value for 'loadbalancing' for Route '${spelling}'; ${values}`,
    );
    return null;
  }

  #processes(): ManifestProcess[] {
    const listed = this.#fields['processes'];
    const own = this.#process(this.#fields, 'web', false);
    if (listed === undefined || listed === null) return isTrivial(own) ? [] : [own];
    if (!Array.isArray(listed)) {
      this.problems.push('Processes must be an array of process configurations');
      return [];
    }
    if (this.#isTooLong('Processes', listed)) return [];
    const processes: ManifestProcess[] = [];
    for (const item of listed) {
      const fields = isRecord(item) ? underscored(item) : {};
      const type = fields['type'];
      if (typeof type !== 'string' || type === '') {
        this.problems.push('All Processes must specify a type');
        continue;
      }
      if (processes.some((process) => process.type === type)) {
        this.problems.push(`Process "${type}" may only be present once`);
        continue;
      }
      processes.push(this.#process(fields, type, true));
    }
    // A listed web process replaces what stands at the app's level.
    return isTrivial(own) || processes.some((process) => process.type === 'web') ? processes : [own, ...processes];
  }

  #process(fields: Fields, type: string, listed: boolean): ManifestProcess {
    return readProcess(fields, type, listed, (problem) => this.problems.push(`Process "${type}": ${problem}`));
  }

  #checkPrintable(what: string, text: string): void {
    if (!isPrintable(text)) this.problems.push(`${what} ${UNPRINTABLE_NAME}`);
  }

  #sidecars(): ManifestSidecar[] {
    const sidecars = this.#fields['sidecars'];
    if (sidecars === undefined || sidecars === null) return [];
    if (!Array.isArray(sidecars)) {
      this.problems.push('Sidecars must be an array of sidecar configurations');
      return [];
    }
    if (this.#isTooLong('Sidecars', sidecars)) return [];
    return sidecars.flatMap((item) => {
      const { name, command, process_types: types, memory } = isRecord(item) ? underscored(item) : {};
      const known = typeof name === 'string' && typeof command === 'string' && Array.isArray(types);
      if (!known || types.length === 0 || !types.every((type) => typeof type === 'string')) {
        this.problems.push('Sidecar name, command and process_types must be given');
        return [];
      }
      for (const text of [name, ...types]) this.#checkPrintable('Sidecar name or process type', text);
      const size = megabytes(memory, 'Memory', (problem) => this.problems.push(`Sidecar "${name}": ${problem}`));
      return [{ name, command, processTypes: types, memoryMb: size }];
    });
  }

  #features(): Record<string, boolean> {
    const features = this.#fields['features'];
    if (features === undefined || features === null) return {};
    if (!isRecord(features) || !Object.values(features).every((value) => typeof value === 'boolean')) {
      this.problems.push(
        'Features must be a map of valid feature names to booleans (true = enabled, false = disabled)',
      );
      return {};
    }
    const unknown = Object.keys(features).filter((name) => !APP_FEATURES.some((feature) => feature === name));
    if (unknown.length > 0) this.problems.push(`Features contains invalid feature names: ${unknown.join(', ')}`);
    return features as Record<string, boolean>;
  }

  #services(): string[] {
    const services = this.#fields['services'];
    if (services === undefined || services === null) return [];
    const names = Array.isArray(services) ? services.map((item) => (isRecord(item) ? item['name'] : item)) : [null];
    if (!names.every((name) => typeof name === 'string')) {
      this.problems.push('Services must be a list of service instances');
      return [];
    }
    if (this.#isTooLong('Services', names)) return [];
    if (names.some((name) => name.length > 255)) {
      this.problems.push('Service instance name is too long (maximum is 255 characters)');
    }
    return names;
  }

  #metadata(): ManifestApp['metadata'] | null {
    const metadata = this.#fields['metadata'];
    if (metadata === undefined || metadata === null) return null;
    if (!isRecord(metadata)) {
      this.problems.push('Metadata must be an object');
      return null;
    }
    const unexpected = Object.keys(metadata).filter((name) => name !== 'labels' && name !== 'annotations');
    if (unexpected.length > 0) {
      this.problems.push(`Metadata has unexpected field(s): ${unexpected.map((name) => `'${name}'`).join(' ')}`);
    }
    const labels = metadata['labels'] ?? {};
    const annotations = metadata['annotations'] ?? {};
    if (!isRecord(labels)) this.problems.push("Metadata 'labels' is not an object");
    if (!isRecord(annotations)) this.problems.push("Metadata 'annotations' is not an object");
    if (!isRecord(labels) || !isRecord(annotations)) return null;
    const texts = (values: Fields): Record<string, string | null> =>
      Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value === null ? null : String(value)]));
    return { labels: texts(labels), annotations: texts(annotations) };
  }
}

function environmentText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
