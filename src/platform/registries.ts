import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

const CENTRAL = 'https://repo.maven.apache.org/maven2';

/** What this machine's own tools are told of registries, and what staging is told in turn. */
const NAMES = [
  ...['GOPROXY', 'GOSUMDB', 'GONOSUMDB', 'GONOPROXY', 'GOPRIVATE', 'GOINSECURE'],
  ...['MAVEN_MIRROR_URL', 'MAVEN_MIRROR_OF', 'NPM_CONFIG_REGISTRY', 'npm_config_registry'],
  ...['PIP_INDEX_URL', 'PIP_EXTRA_INDEX_URL', 'PIP_TRUSTED_HOST', 'UV_INDEX_URL'],
  ...['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'],
] as const;

/** The machine's settings as they are found: its environment and the home directory of whoever asks. */
export interface Machine {
  environment: Readonly<Record<string, string | undefined>>;
  home: string;
  /** Where settings for everybody lie. */
  etc: string;
}

const THIS_MACHINE: Machine = { environment: process.env, home: homedir(), etc: '/etc' };

/**
 * The package registries and proxies this machine uses, as environment variables for staging: what buildpacks fetch comes the
 * same way as what the operator fetches. An address with a password in it is left out, because every app's build sees these;
 * an operator who wants that says so with `--staging-env`.
 */
export async function machineRegistries(machine = THIS_MACHINE): Promise<Record<string, string>> {
  const goSettings = await readGoSettings(machine);
  const mirror = await readMavenMirror(machine);
  const found: Record<string, string | undefined> = {
    ...goSettings,
    ...(mirror ? { MAVEN_MIRROR_URL: mirror.url, MAVEN_MIRROR_OF: mirror.mirrorOf } : {}),
    ...Object.fromEntries(NAMES.map((name) => [name, machine.environment[name]]).filter(([, value]) => value)),
  };
  const usable = Object.entries(found).filter(
    (entry): entry is [string, string] => !!entry[1] && !hasCredentials(entry[1]) && !isOnDisk(entry[1]),
  );
  return Object.fromEntries(usable);
}

/** The address of the Maven repository this machine uses, without slash at the end. It may carry credentials. */
export async function mavenRepository(machine = THIS_MACHINE): Promise<string> {
  const mirror = machine.environment['MAVEN_MIRROR_URL'] ?? (await readMavenMirror(machine))?.url;
  return (mirror || CENTRAL).replace(/\/+$/, '');
}

/** What `go env -w` keeps. */
async function readGoSettings({ environment, home }: Machine): Promise<Record<string, string>> {
  const file = environment['GOENV'] ?? join(environment['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'go/env');
  const text = file === 'off' ? '' : await readFile(file, 'utf8').catch(() => '');
  const settings = [...text.matchAll(/^(GO[A-Z]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!.trim()] as const);
  return Object.fromEntries(settings.filter(([name]) => (NAMES as readonly string[]).includes(name)));
}

/** The mirror of the central repository in the settings of the user or the machine. */
async function readMavenMirror({ home, etc }: Machine): Promise<{ url: string; mirrorOf: string } | null> {
  for (const file of [join(home, '.m2/settings.xml'), join(etc, 'maven/settings.xml')]) {
    const text = (await readFile(file, 'utf8').catch(() => '')).replace(/<!--[\s\S]*?-->/g, '');
    for (const [, body] of text.matchAll(/<mirror>([\s\S]*?)<\/mirror>/g)) {
      const element = (name: string) => new RegExp(`<${name}>\\s*([^<]*?)\\s*</${name}>`).exec(body!)?.[1];
      const [url, mirrorOf] = [element('url'), element('mirrorOf')];
      const isBlocked = element('blocked') === 'true';
      if (url && mirrorOf && !isBlocked && /(^|,)\s*(\*|central|external:\*)/.test(mirrorOf)) return { url, mirrorOf };
    }
  }
  return null;
}

function hasCredentials(value: string): boolean {
  return /:\/\/[^/\s,|]*@/.test(value);
}

/** A directory of this machine is not there in a container. */
function isOnDisk(value: string): boolean {
  return /(^|[,|])\s*(file:|\/)/.test(value);
}
