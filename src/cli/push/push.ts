import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Type from 'typebox';
import { CupolaError } from '../../kit/errors.ts';
import type { Credentials } from '../../platform/secrets.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import type { Api } from './api.ts';
import { AppLog } from './app-log.ts';
import { zipDirectory } from './archive.ts';
import { type AppToPush, appsToPush, type DockerImage, type PushRequest } from './manifest.ts';
import { type Place, placeOf } from './place.ts';
import { Resource } from './resource.ts';

const STAGING_LIMIT_MS = 15 * 60_000;
const START_LIMIT_MS = 180_000;
const LOOK_MS = 300;
/** The last lines of an app that does not start. */
const LAST_LINES = 20;

/** What is read of the API's answers. */
const Route = Type.Object({ url: Type.String(), protocol: Type.Optional(Type.String()) });
const State = Type.Object({ state: Type.String() });
const Deployment = Type.Object({ status: Type.Object({ value: Type.String(), reason: Type.String() }) });
const Build = Type.Object({
  state: Type.String(),
  error: Type.Union([Type.String(), Type.Null()]),
  droplet: Type.Union([Resource, Type.Null()]),
});
const Stats = Type.Object({ resources: Type.Array(Type.Object({ state: Type.String() })) });

/** An app that runs. */
export interface Pushed {
  name: string;
  guid: string;
  organization: string;
  space: string;
  /** Where it is served, https; none where it has no route. */
  addresses: string[];
}

export interface PushOptions extends PushRequest {
  organization?: string | undefined;
  space?: string | undefined;
  /** Of the image's registry. */
  dockerPassword?: string | undefined;
  /** One instance after the other, the app serving meanwhile; else all at once. */
  rolling?: boolean;
  onProgress: (line: string) => void;
}

/** Pushes one app after the other through the public API, and ends when each of them runs. */
export async function push(
  settings: PlatformSettings,
  credentials: Credentials,
  { organization, space, dockerPassword, rolling = false, onProgress, ...request }: PushOptions,
): Promise<Pushed[]> {
  const apps = await appsToPush(request);
  for (const { name, docker } of apps)
    if (docker?.username !== undefined) requirePassword(name, docker, dockerPassword);
  // Its HTTP client takes longer to load than most other commands to run.
  const { Api } = await import('./api.ts');
  const api = await Api.login(settings, credentials);
  try {
    const place = await placeOf(api, {
      ...(organization === undefined ? {} : { organization }),
      ...(space === undefined ? {} : { space }),
    });
    const pushed: Pushed[] = [];
    for (const app of apps) {
      onProgress(
        `Pushing app ${app.name} to org ${place.organization} / space ${place.space} as ${credentials.username}...`,
      );
      pushed.push(await pushApp(api, app, { place, settings, onProgress, dockerPassword, rolling }));
    }
    return pushed;
  } finally {
    api.close();
  }
}

async function pushApp(
  api: Api,
  { name, directory, docker, yaml }: AppToPush,
  {
    place,
    settings,
    onProgress,
    dockerPassword,
    rolling,
  }: Pick<PushOptions, 'onProgress' | 'dockerPassword' | 'rolling'> & { place: Place; settings: PlatformSettings },
): Promise<Pushed> {
  const { organization, space, spaceGuid } = place;
  await api.postManifest(`/v3/spaces/${spaceGuid}/actions/apply_manifest`, yaml);
  const app = await api.first(`/v3/apps?names=${encodeURIComponent(name)}&space_guids=${spaceGuid}`, Resource);
  if (!app) throw new CupolaError('push_failed', `the app ${name} is not there after its manifest was applied`);
  if (docker === null) onProgress('Uploading files...');
  const source =
    docker === null
      ? await uploadPackage(api, app.guid, directory)
      : await namePackage(api, app.guid, docker, dockerPassword);
  onProgress('Staging app...');
  const log = await AppLog.from(api, app.guid);
  const droplet = await stage(api, source, { log, onProgress });
  // An app that does not run has nothing to be replaced, as cf push has it.
  const { state } = await api.get(`/v3/apps/${app.guid}`, State);
  if (rolling && state === 'STARTED') {
    onProgress('Replacing instances...');
    await deploy(api, { name, guid: app.guid, droplet });
  } else {
    await api.patch(`/v3/apps/${app.guid}/relationships/current_droplet`, { data: { guid: droplet } });
    onProgress('Starting app...');
    await api.post(`/v3/apps/${app.guid}/actions/restart`);
  }
  await untilRunning(api, { name, guid: app.guid, log, onProgress });
  return { name, guid: app.guid, organization, space, addresses: await addressesOf(api, app.guid, settings) };
}

async function uploadPackage(api: Api, app: string, directory: string): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'cupola-push-'));
  try {
    const file = join(scratch, 'app.zip');
    await zipDirectory(directory, file);
    const bits = await api.post('/v3/packages', { type: 'bits', relationships: { app: { data: { guid: app } } } });
    await api.upload(`/v3/packages/${bits.guid}/upload`, 'bits', file);
    await until(START_LIMIT_MS, 'the upload was not processed in time', async () => {
      const { state } = await api.get(`/v3/packages/${bits.guid}`, State);
      if (state === 'FAILED') throw new CupolaError('push_failed', 'the platform refused the upload');
      return state === 'READY';
    });
    return bits.guid;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Before anything is made. Throws `bad_manifest`. */
function requirePassword(name: string, { username }: DockerImage, password: string | undefined): void {
  if (password) return;
  throw new CupolaError(
    'bad_manifest',
    `${name} is an image of a registry that asks ${username} for a password: CF_DOCKER_PASSWORD has to have it`,
  );
}

/** An image: the platform fetches it itself. */
async function namePackage(
  api: Api,
  app: string,
  { image, username }: DockerImage,
  password: string | undefined,
): Promise<string> {
  const access = username === undefined ? {} : { username, password };
  const relationships = { app: { data: { guid: app } } };
  return (await api.post('/v3/packages', { type: 'docker', relationships, data: { image, ...access } })).guid;
}

/** Until the droplet runs in place of the former; where its instances do not start, the former goes on. */
async function deploy(
  api: Api,
  { name, guid, droplet }: { name: string; guid: string; droplet: string },
): Promise<void> {
  const relationships = { app: { data: { guid } } };
  const made = await api.post('/v3/deployments', { droplet: { guid: droplet }, strategy: 'rolling', relationships });
  const late = `the new instances of ${name} did not start in time; cf cancel-deployment ${name} goes back`;
  await until(STAGING_LIMIT_MS, late, async () => {
    const { status } = await api.get(`/v3/deployments/${made.guid}`, Deployment);
    if (status.value !== 'FINALIZED') return false;
    if (status.reason === 'DEPLOYED') return true;
    throw new CupolaError('start_failed', `${name} was not replaced: its deployment ended as ${status.reason}`);
  });
}

/** Shows the staging log as it comes, and gives the droplet. */
async function stage(
  api: Api,
  bits: string,
  { log, onProgress }: { log: AppLog; onProgress: (line: string) => void },
): Promise<string> {
  const { guid } = await api.post('/v3/builds', { package: { guid: bits } });
  const show = async (): Promise<void> => {
    for (const line of await log.lines('STG')) onProgress(`   ${line}`);
  };
  let droplet = '';
  await until(STAGING_LIMIT_MS, 'staging did not end in time', async () => {
    const build = await api.get(`/v3/builds/${guid}`, Build);
    await show();
    if (build.state === 'FAILED') throw new CupolaError('staging_failed', `Error staging application: ${build.error}`);
    droplet = build.droplet?.guid ?? '';
    return build.state === 'STAGED' && droplet !== '';
  });
  return droplet;
}

/** Until an instance of its web process runs; at once where it is to have none. */
async function untilRunning(
  api: Api,
  { name, guid, log, onProgress }: { name: string; guid: string; log: AppLog; onProgress: (line: string) => void },
): Promise<void> {
  await until(START_LIMIT_MS, `${name} did not start in time; cf logs ${name} --recent may say why`, async () => {
    const { resources } = await api.get(`/v3/apps/${guid}/processes/web/stats`, Stats);
    if (resources.length > 0 && resources.every(({ state }) => state === 'CRASHED')) {
      for (const line of (await log.lines('APP')).slice(-LAST_LINES)) onProgress(`   ${line}`);
      throw new CupolaError(
        'start_failed',
        `Start unsuccessful: ${name} crashes; cf logs ${name} --recent shows its log`,
      );
    }
    return resources.length === 0 || resources.some(({ state }) => state === 'RUNNING');
  });
}

async function addressesOf(api: Api, app: string, { httpsPort }: PlatformSettings): Promise<string[]> {
  const routes = await api.all(`/v3/apps/${app}/routes`, Route);
  return routes
    .filter(({ protocol = 'http' }) => protocol === 'http')
    .map(({ url }) => {
      const address = new URL(`https://${url}`);
      address.port = httpsPort === 443 ? '' : String(httpsPort);
      return address.href.replace(/\/$/, '');
    });
}

async function until(limitMs: number, late: string, done: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await done())) {
    if (Date.now() > deadline) throw new CupolaError('push_timeout', late);
    await pause(LOOK_MS);
  }
}
