import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Type, { type Static } from 'typebox';
import { CupolaError } from '../../kit/errors.ts';
import { type Credentials, readCredentials } from '../../platform/secrets.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import { command, UsageError } from '../command.ts';
import { installation, say } from '../options.ts';
import type { Api } from '../push/api.ts';
import { zipDirectory } from '../push/archive.ts';
import { manifestFor } from '../push/manifest.ts';
import { Resource } from '../push/resource.ts';

/** Organization and space of whoever has no cf CLI yet. */
const PLACE = 'demo';
const STAGING_LIMIT_MS = 15 * 60_000;
const START_LIMIT_MS = 180_000;

/** What is read of the API's answers. */
const Route = Type.Object({ url: Type.String() });
const Package = Type.Object({ state: Type.String() });
const Build = Type.Object({
  state: Type.String(),
  error: Type.Union([Type.String(), Type.Null()]),
  droplet: Type.Union([Resource, Type.Null()]),
});
const Stats = Type.Object({ resources: Type.Array(Type.Object({ state: Type.String() })) });

export const push = command({
  flags: {
    name: { type: 'string', takes: 'N', help: "the app's name (of the manifest, or the directory, unless told)" },
  },
  async run({ values, positionals }) {
    const [directory, ...more] = positionals;
    if (directory === undefined || more.length > 0) throw new UsageError('push takes one directory');
    const settings = installation(values.data);
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw new CupolaError('no_directory', `${directory} is not a directory`);
    const credentials = await readCredentials(settings);
    say(
      await pushDirectory(settings, credentials, { directory: resolve(directory), name: values.name, onProgress: say }),
    );
    return 0;
  },
});

/** Pushes a directory as an app in organization and space `demo` and gives its address once an instance runs. */
export async function pushDirectory(
  settings: PlatformSettings,
  credentials: Credentials,
  { directory, name, onProgress }: { directory: string; name?: string | undefined; onProgress: (text: string) => void },
): Promise<string> {
  const manifest = await manifestFor(directory, name);
  // Its HTTP client takes longer to load than most other commands to run.
  const { Api } = await import('../push/api.ts');
  const api = await Api.login(settings, credentials);
  try {
    const space = await ensureSpace(api);
    onProgress(`Creating ${manifest.name} in organization ${PLACE}, space ${PLACE}`);
    await api.postManifest(`/v3/spaces/${space}/actions/apply_manifest`, manifest.yaml);
    const query = new URLSearchParams({ names: manifest.name, space_guids: space });
    const app = await api.first(`/v3/apps?${query}`, Resource);
    if (!app) throw new CupolaError('push_failed', `the app ${manifest.name} was not created`);
    onProgress('Uploading');
    const bits = await uploadPackage(api, app.guid, directory);
    onProgress('Staging');
    const droplet = await stage(api, bits);
    await api.patch(`/v3/apps/${app.guid}/relationships/current_droplet`, { data: { guid: droplet } });
    onProgress('Starting');
    // A restart also takes an app that already runs to the new droplet.
    await api.post(`/v3/apps/${app.guid}/actions/restart`);
    await untilRunning(api, app.guid);
    return await addressOf(api, app.guid, settings);
  } finally {
    api.close();
  }
}

async function ensureSpace(api: Api): Promise<string> {
  const organization = await ensure(api, `/v3/organizations?names=${PLACE}`, '/v3/organizations', { name: PLACE });
  const space = await ensure(api, `/v3/spaces?names=${PLACE}&organization_guids=${organization.guid}`, '/v3/spaces', {
    name: PLACE,
    relationships: { organization: { data: { guid: organization.guid } } },
  });
  return space.guid;
}

/** Found, or made; a push beside this one may make it between the two. */
async function ensure(api: Api, list: string, path: string, body: object): Promise<Static<typeof Resource>> {
  const present = await api.first(list, Resource);
  if (present) return present;
  try {
    return await api.post(path, body);
  } catch (error) {
    const made = await api.first(list, Resource);
    if (made) return made;
    throw error;
  }
}

async function uploadPackage(api: Api, app: string, directory: string): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'cupola-push-'));
  try {
    const file = join(scratch, 'app.zip');
    await zipDirectory(directory, file);
    const bits = await api.post('/v3/packages', { type: 'bits', relationships: { app: { data: { guid: app } } } });
    await api.upload(`/v3/packages/${bits.guid}/upload`, 'bits', file);
    await until(START_LIMIT_MS, 'the upload was not processed in time', async () => {
      const { state } = await api.get(`/v3/packages/${bits.guid}`, Package);
      if (state === 'FAILED') throw new CupolaError('push_failed', 'the platform refused the upload');
      return state === 'READY';
    });
    return bits.guid;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Gives the droplet. */
async function stage(api: Api, bits: string): Promise<string> {
  const { guid } = await api.post('/v3/builds', { package: { guid: bits } });
  let droplet = '';
  await until(STAGING_LIMIT_MS, 'staging did not end in time', async () => {
    const build = await api.get(`/v3/builds/${guid}`, Build);
    if (build.state === 'FAILED') throw new CupolaError('staging_failed', `staging failed: ${build.error}`);
    droplet = build.droplet?.guid ?? '';
    return build.state === 'STAGED' && droplet !== '';
  });
  return droplet;
}

async function untilRunning(api: Api, app: string): Promise<void> {
  await until(START_LIMIT_MS, 'the app did not start in time', async () => {
    const { resources } = await api.get(`/v3/apps/${app}/processes/web/stats`, Stats);
    if (resources.length > 0 && resources.every(({ state }) => state === 'CRASHED')) {
      throw new CupolaError('start_failed', 'the app crashes');
    }
    return resources.some(({ state }) => state === 'RUNNING');
  });
}

async function addressOf(api: Api, app: string, settings: PlatformSettings): Promise<string> {
  const route = await api.first(`/v3/apps/${app}/routes`, Route);
  const port = settings.httpsPort === 443 ? '' : `:${settings.httpsPort}`;
  return route ? `https://${route.url}${port}` : 'it has no route';
}

async function until(limitMs: number, late: string, done: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await done())) {
    if (Date.now() > deadline) throw new CupolaError('push_timeout', late);
    await pause(300);
  }
}
