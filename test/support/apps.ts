import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Client } from '@connectrpc/connect';
import type { StorageSettings } from '../../src/cloud-controller/context.ts';
import type { Guid } from '../../src/cloud-controller/guid.ts';
import { CloudControllerInternal } from '../../src/contracts/gen/cloud-controller_pb.js';
import type { Bbs } from '../../src/contracts/gen/diego_pb.js';
import { type Envelope, Ingress } from '../../src/contracts/gen/loggregator_pb.js';
import type { Logger } from '../../src/kit/log.ts';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { TestBbs } from './bbs.ts';
import { TestBlobs } from './blobs.ts';
import {
  type Person,
  type Reply,
  startTestCloudController,
  type TestCloudController,
  type TokenSource,
} from './cloud-controller.ts';
import { envelopesOf } from './envelopes.ts';
import { zipOf } from './zips.ts';

/** The Cloud Controller with a Diego, blobs, a log and one buildpack, all of the test's own, and a developer in a space. */
export interface TestFoundation {
  cc: TestCloudController;
  bbs: TestBbs;
  blobs: TestBlobs;
  /** What went to the log. */
  lines: Envelope[];
  internal: ReturnType<typeof internalClient>;
  organization: Guid<'organization'>;
  space: Guid<'space'>;
  developer: Person;
  close(): Promise<void>;
}

const internalClient = (cc: TestCloudController) =>
  client(CloudControllerInternal, inMemoryTransport(cc.room.internal));

export interface TestFoundationOptions {
  log?: Logger;
  elsewhere?: string;
  ssh?: boolean;
  uaa?: TokenSource;
  storage?: Partial<StorageSettings>;
  http2Apps?: boolean;
  /** Diego as the Cloud Controller has it, where it is not the test's own alone. */
  diego?: (bbs: TestBbs) => Client<typeof Bbs>;
}

export async function startTestFoundation(options: TestFoundationOptions = {}): Promise<TestFoundation> {
  const { log, elsewhere, ssh, uaa, storage, http2Apps, diego } = options;
  const bbs = new TestBbs();
  const blobs = new TestBlobs();
  const lines: Envelope[] = [];
  const ingress = client(
    Ingress,
    inMemoryTransport(({ service }) =>
      service(Ingress, {
        send: ({ batch }) => {
          lines.push(...envelopesOf(batch));
          return {};
        },
      }),
    ),
  );
  const directory = mkdtempSync('/tmp/cupola-bp-');
  const file = join(directory, 'nodejs_buildpack.zip');
  const zip = await zipOf([{ path: 'bin/detect', body: '#!/bin/sh', mode: 0o100755 }]);
  writeFileSync(file, zip);
  const sha256 = createHash('sha256').update(zip).digest('hex');
  const systemBuildpacks = [{ name: 'nodejs_buildpack', position: 1, stack: 'debian12', file, sha256 }];
  const parts = {
    bbs: diego?.(bbs) ?? bbs.client,
    blobs,
    ingress,
    systemBuildpacks,
    ...(log ? { log } : {}),
    ...(elsewhere ? { elsewhere } : {}),
    ...(ssh === undefined ? {} : { ssh }),
    ...(uaa ? { uaa } : {}),
    ...(storage ? { storage } : {}),
    ...(http2Apps === undefined ? {} : { http2Apps }),
  };
  const cc = await startTestCloudController(parts);
  const organization: Guid<'organization'> = (await cc.admin.post('/v3/organizations', { name: 'acme' })).body.guid;
  const space = await newSpace(cc, organization, 'dev');
  const developer = await cc.person('dev');
  await grant(cc, developer, 'space_developer', organization, space);
  return {
    cc,
    bbs,
    blobs,
    lines,
    internal: internalClient(cc),
    organization,
    space,
    developer,
    close: async () => {
      await cc.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export async function newSpace(cc: TestCloudController, organization: string, name: string): Promise<Guid<'space'>> {
  const relationships = { organization: { data: { guid: organization } } };
  return (await cc.admin.post('/v3/spaces', { name, relationships })).body.guid;
}

/** Gives a person a role in a space (and in the organization, which comes first). */
export async function grant(
  cc: TestCloudController,
  person: Pick<Person, 'guid'>,
  type: string,
  organization: string,
  space?: string,
): Promise<void> {
  const user = { data: { guid: person.guid } };
  await cc.admin.post('/v3/roles', {
    type: 'organization_user',
    relationships: { user, organization: { data: { guid: organization } } },
  });
  const place = space ? { space: { data: { guid: space } } } : { organization: { data: { guid: organization } } };
  const reply = await cc.admin.post('/v3/roles', { type, relationships: { user, ...place } });
  if (reply.status !== 201) throw new Error(JSON.stringify(reply.body));
}

export const yaml = { 'content-type': 'application/x-yaml' };

/** Uploads a multipart form; `bits` may be left out. */
export async function upload(
  person: Person,
  url: string,
  form: { bits?: Buffer; name?: string; resources?: unknown },
): Promise<Reply> {
  const data = new FormData();
  if (form.resources !== undefined) data.set('resources', JSON.stringify(form.resources));
  if (form.bits) data.set('bits', new Blob([new Uint8Array(form.bits)]), form.name ?? 'app.zip');
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `bearer ${person.token}` },
    body: data,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}

/** Waits until `condition` gives something. */
export async function eventually<T>(condition: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const found = await condition();
    if (found) return found as NonNullable<T>;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it did not come about');
}

export async function newApp(foundation: TestFoundation, name: string, more: object = {}): Promise<Guid<'app'>> {
  const relationships = { space: { data: { guid: foundation.space } } };
  const reply = await foundation.developer.post('/v3/apps', { name, relationships, ...more });
  if (reply.status !== 201) throw new Error(JSON.stringify(reply.body));
  return reply.body.guid;
}

/** A READY package of an app. */
export async function newPackage(foundation: TestFoundation, app: string): Promise<string> {
  const { developer, cc } = foundation;
  const relationships = { app: { data: { guid: app } } };
  const { guid } = (await developer.post('/v3/packages', { type: 'bits', relationships })).body;
  const bits = await zipOf([{ path: 'server.js', body: '1' }]);
  const reply = await upload(developer, `${cc.url}/v3/packages/${guid}/upload`, { bits });
  if (reply.body.state !== 'READY') throw new Error(JSON.stringify(reply.body));
  return guid;
}

/** Stages as a cell would: the droplet's bytes arrive, then the result. Gives the droplet's guid. */
export async function stage(
  foundation: TestFoundation,
  app: string,
  sidecars: readonly object[] = [],
): Promise<string> {
  const { developer, bbs, cc, internal } = foundation;
  const packageGuid = await newPackage(foundation, app);
  const build = (await developer.post('/v3/builds', { package: { guid: packageGuid } })).body;
  const task = await eventually(() => bbs.tasks.get(build.guid));
  if (task.work.case !== 'staging') throw new Error('not a staging task');
  const key = /droplets\/([\w-]+)/.exec(task.work.value.uploadDroplet?.url ?? '')?.[1] ?? '';
  const bytes = Buffer.from(`droplet of ${build.guid}`);
  await cc.room.takeUpload('droplets', key, Readable.from([bytes]), { maxBytes: 1e9, announced: bytes.length });
  const result = stagingResult(createHash('sha256').update(bytes).digest('hex'), bytes.length, sidecars);
  await internal.taskCompleted({ taskGuid: build.guid, domain: task.domain, failed: false, result });
  bbs.tasks.delete(build.guid);
  return key;
}

export function stagingResult(sha256: string, bytes: number, sidecars: readonly object[] = []): string {
  return JSON.stringify({
    lifecycle_type: 'buildpack',
    lifecycle_metadata: {
      detected_buildpack: 'node',
      buildpacks: [{ key: 'k', name: 'nodejs_buildpack', own_name: 'nodejs', version: '1.0' }],
    },
    process_types: { web: 'npm start', worker: 'node worker.js' },
    execution_metadata: '',
    sidecars,
    droplet: { sha256, bytes },
    cache: null,
  });
}

/** An app with a droplet, started. */
export async function runningApp(foundation: TestFoundation, name: string): Promise<Guid<'app'>> {
  const { developer } = foundation;
  const app = await newApp(foundation, name);
  const droplet = await stage(foundation, app);
  await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
  const reply = await developer.post(`/v3/apps/${app}/actions/start`);
  if (reply.body.state !== 'STARTED') throw new Error(JSON.stringify(reply.body));
  return app;
}
