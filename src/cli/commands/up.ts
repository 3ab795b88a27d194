import { appendFileSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { readCredentials } from '../../platform/secrets.ts';
import { ensureSettings, layoutOf, lockFileOf, type PlatformSettings, publicUrl } from '../../platform/settings.ts';
import { type Command, DATA_OPTION, dataDirectory, parse, requireRoot, say, UsageError } from '../options.ts';
import { Progress } from '../progress.ts';
import { install } from '../up/install.ts';
import { startAndWait } from '../up/start.ts';
import { statusOrNull } from './down.ts';
import { pushDirectory } from './push.ts';

const OPTIONS = {
  ...DATA_OPTION,
  domain: { type: 'string' },
  bind: { type: 'string' },
  'https-port': { type: 'string' },
  cells: { type: 'string' },
  zones: { type: 'string' },
  'cell-tags': { type: 'string' },
  'ssh-port': { type: 'string' },
  ssh: { type: 'string' },
  'key-file': { type: 'string' },
  'staging-env': { type: 'string', multiple: true },
  'allow-registry': { type: 'string', multiple: true },
  'insecure-registry': { type: 'string', multiple: true },
  json: { type: 'boolean' },
  demo: { type: 'boolean' },
} as const;
const PROJECT = join(import.meta.dirname, '../../..');

export const up: Command = {
  usage:
    'up [--data DIR] [--domain D] [--bind ADDR] [--https-port N] [--cells N] [--zones N] [--cell-tags CELL=TAG,…] ' +
    '[--ssh on|off] [--ssh-port N] [--key-file FILE] [--staging-env NAME=VALUE]… ' +
    '[--allow-registry HOST[:PORT]]… [--insecure-registry HOST:PORT]… [--json] [--demo]',
  summary: 'install what is missing and start the platform',
  async run(args) {
    const { values } = parse(args, OPTIONS);
    const began = Date.now();
    const httpsPort = whole('--https-port', values['https-port'], 65_535);
    const sshPort = whole('--ssh-port', values['ssh-port'], 65_535);
    if (values.ssh !== undefined && !['on', 'off'].includes(values.ssh)) throw new UsageError('--ssh takes on or off');
    const cells = whole('--cells', values.cells, 8);
    const stagingEnvironment = variables(values['staging-env'] ?? []);
    const zones = whole('--zones', values.zones, 8);
    const cellTags = values['cell-tags'] === undefined ? undefined : tagsByCell(values['cell-tags']);
    requireRoot();
    using _lock = lockFile(lockFileOf(dataDirectory(values.data)), 'up');
    const settings = await ensureSettings({
      dataDirectory: dataDirectory(values.data),
      ...(values['key-file'] === undefined ? {} : { keyFile: resolve(values['key-file']) }),
      ...(values.domain === undefined ? {} : { domain: values.domain }),
      ...(values.bind === undefined ? {} : { bindAddress: values.bind }),
      ...(httpsPort === undefined ? {} : { httpsPort }),
      ...(cells === undefined ? {} : { cells }),
      stagingEnvironment,
      ...(zones === undefined ? {} : { zones }),
      ...(cellTags === undefined ? {} : { cellTags }),
      ...(sshPort === undefined ? {} : { sshPort }),
      ...(values.ssh === undefined ? {} : { ssh: values.ssh === 'on' }),
      ...(values['allow-registry'] === undefined ? {} : { allowedRegistries: values['allow-registry'] }),
      ...(values['insecure-registry'] === undefined ? {} : { insecureRegistries: values['insecure-registry'] }),
    });
    const layout = layoutOf(settings);
    const progress = new Progress(8, !values.json);
    // What runs and is ready is left alone: a second `up` changes nothing.
    if (!(await statusOrNull(layout))?.ready) {
      mkdirSync(layout.logs, { recursive: true, mode: 0o700 });
      const log = new Logger('up', {}, (line) => appendFileSync(join(layout.logs, 'up.log'), line, { mode: 0o600 }));
      await install({ project: PROJECT, layout, log, progress });
      await startAndWait({ project: PROJECT, layout, progress });
    }
    const seconds = Math.round((Date.now() - began) / 100) / 10;
    const demo = values.demo ? await pushDemo(settings, !values.json) : null;
    if (values.json) say(JSON.stringify(summary(settings, seconds, demo)));
    else say(farewell(settings, seconds, demo));
    return 0;
  },
};

function whole(name: string, text: string | undefined, highest: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > highest) throw new UsageError(`${name} takes 1 to ${highest}`);
  return number;
}

/** "NAME=VALUE" each; never repeated in an error, because a value may hold a password. */
function variables(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(word);
      if (!match) throw new UsageError('--staging-env takes NAME=VALUE');
      return [match[1]!, match[2]!] as const;
    }),
  );
}

/** "cell-1=secure,cell-2=secure" as the tags of each cell, by number. A tag is an isolation segment's name. */
function tagsByCell(text: string): string[][] {
  const tags: string[][] = [];
  for (const part of text.split(',')) {
    const [, number, tag] = /^cell-([0-7])=([^,=]{1,250})$/.exec(part.trim()) ?? [];
    if (number === undefined || tag === undefined)
      throw new UsageError('--cell-tags takes CELL=TAG,…, e.g. cell-1=secure');
    while (tags.length <= Number(number)) tags.push([]);
    tags[Number(number)]!.push(tag);
  }
  return tags;
}

async function pushDemo(settings: PlatformSettings, show: boolean): Promise<string> {
  const directory = join(PROJECT, 'examples/hello-node');
  return pushDirectory(settings, await readCredentials(settings), { directory, onProgress: show ? say : () => {} });
}

function summary(settings: PlatformSettings, seconds: number, demo: string | null) {
  const { domain, adminUser: username } = settings;
  return { api: publicUrl(settings, 'api'), username, domain, ready: true, seconds, ...(demo ? { demo } : {}) };
}

function farewell(settings: PlatformSettings, seconds: number, demo: string | null): string {
  const api = publicUrl(settings, 'api');
  return [
    '',
    `Ready after ${seconds} s.`,
    '',
    `  API       ${api}`,
    `  User      ${settings.adminUser}`,
    '  Password  ./cupola credentials',
    ...(demo ? [`  Demo      ${demo}`] : []),
    '',
    'Log in with the cf CLI:',
    `  cf login -a ${api} -u ${settings.adminUser} --skip-ssl-validation`,
    'or, with the certificate checked: put ca_cert of ./cupola credentials --json in a file and name it in SSL_CERT_FILE.',
  ].join('\n');
}
