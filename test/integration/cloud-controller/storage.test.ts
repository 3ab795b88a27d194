import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { DEFAULT_STORAGE } from '../../../src/cloud-controller/context.ts';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { keepBlob } from '../../../src/cloud-controller/storage/keep.ts';
import { forget, reserve, type Storage, storedBytes } from '../../../src/cloud-controller/storage/ledger.ts';
import { sweepStorage } from '../../../src/cloud-controller/storage/sweep.ts';
import type { TestFoundation } from '../../support/apps.ts';
import { grant, newApp, newPackage, newSpace, startTestFoundation, upload } from '../../support/apps.ts';
import type { Person } from '../../support/cloud-controller.ts';
import { silentLog } from '../../support/postgresql.ts';
import { zipOf } from '../../support/zips.ts';

const LIMIT = 400_000;

describe('storage of packages and droplets', () => {
  let f: TestFoundation;
  /** A developer of an organization of their own, with an app. */
  let neighbour: { developer: Person; organization: string; app: string };
  const storage = (): Storage => ({
    db: f.cc.db,
    blobs: f.blobs,
    log: silentLog,
    settings: { storage: { ...DEFAULT_STORAGE, perOrganizationBytes: LIMIT } } as Storage['settings'],
  });
  const of = (app: string) => ({ app: { data: { guid: app } } });
  const made = async (person: Person, app: string): Promise<string> =>
    (await person.post('/v3/packages', { type: 'bits', relationships: of(app) })).body.guid;
  const send = async (person: Person, guid: string, form: Parameters<typeof upload>[2]) =>
    upload(person, `${f.cc.url}/v3/packages/${guid}/upload`, form);
  const resourceOf = (content: Buffer, path: string) => ({
    checksum: { value: createHash('sha1').update(content).digest('hex') },
    size_in_bytes: content.length,
    path,
    mode: '644',
  });

  before(async () => {
    f = await startTestFoundation({ storage: { perOrganizationBytes: LIMIT } });
    const organization = (await f.cc.admin.post('/v3/organizations', { name: 'globex' })).body.guid;
    const space = await newSpace(f.cc, organization, 'dev');
    const developer = await f.cc.person('neighbour');
    await grant(f.cc, developer, 'space_developer', organization, space);
    const relationships = { space: { data: { guid: space } } };
    const app = (await developer.post('/v3/apps', { name: 'theirs', relationships })).body.guid;
    neighbour = { developer, organization, app };
  });
  after(() => f.close());

  it('ARCH-13: who knows a digest of a file is not told of it and does not get it; who may download it does', async () => {
    const secret = randomBytes(70_000);
    const theirs = await made(neighbour.developer, neighbour.app);
    const bits = await zipOf([{ path: 'secret', body: secret }]);
    assert.equal((await send(neighbour.developer, theirs, { bits })).body.state, 'READY');
    const resource = resourceOf(secret, 'stolen');
    const told = async (person: Person) =>
      (await person.post('/v3/resource_matches', { resources: [resource] })).body.resources.length;
    assert.equal(await told(f.developer), 0);
    assert.equal(await told(neighbour.developer), 1);
    const app = await newApp(f, 'thief');
    const guid = await made(f.developer, app);
    const refused = await send(f.developer, guid, { resources: [resource] });
    assert.equal(refused.status, 422);
    assert.match(refused.body.errors[0].detail, /not known here/);
    assert.equal(f.blobs.held.has(`packages/${guid}`), false);
    const again = await made(neighbour.developer, neighbour.app);
    assert.equal((await send(neighbour.developer, again, { resources: [resource] })).body.state, 'READY');
  });

  it('a SHA-1 that two different files of a developer share matches neither', async () => {
    const [one, other] = [randomBytes(70_000), randomBytes(70_000)];
    const app = await newApp(f, 'collision');
    const guid = await made(f.developer, app);
    await send(f.developer, guid, { bits: await zipOf([{ path: 'one', body: one }]) });
    const resource = resourceOf(one, 'one');
    const match = async () =>
      (await f.developer.post('/v3/resource_matches', { resources: [resource] })).body.resources;
    assert.equal((await match()).length, 1);
    const sha1 = resource.checksum.value;
    const sha256 = createHash('sha256').update(other).digest('hex');
    const row = { guid: crypto.randomUUID(), space_guid: f.space, sha1, sha256, bytes: other.length };
    await f.cc.db.insertInto('matched_files').values(row).execute();
    assert.deepEqual(await match(), []);
  });

  it('SECURITY 24: a zip whose directory lies about a large entry is refused with 422, and nothing of it stays', async () => {
    const data = await zipOf([{ path: 'big', body: 'x'.repeat(200_000) }]);
    data.writeUInt32LE(100_000, data.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1')) + 24);
    const guid = await made(f.developer, await newApp(f, 'liar'));
    const reply = await send(f.developer, guid, { bits: data });
    assert.deepEqual([reply.status, reply.body.errors?.[0].title], [422, 'CF-AppBitsUploadInvalid']);
    assert.equal((await f.developer.get(`/v3/packages/${guid}`)).body.state, 'FAILED');
    assert.equal(f.blobs.held.has(`packages/${guid}`), false);
  });

  it('SECURITY 30: uploads at once never take more than an organization may have, and its neighbour pushes on', async () => {
    // All at the same time, before anything is written.
    const blobs = Array.from({ length: 20 }, () => {
      return { kind: 'packages', key: crypto.randomUUID(), organizationGuid: f.organization } as const;
    });
    const room = await Promise.allSettled(blobs.map((blob) => reserve(storage(), blob, Math.floor(LIMIT / 4))));
    const taken = await storedBytes(f.cc.db, f.organization);
    assert.ok(taken <= LIMIT, `${taken} bytes are taken`);
    assert.ok(room.some(({ status }) => status === 'fulfilled') && room.some(({ status }) => status === 'rejected'));
    await f.cc.db.transaction().execute((trx) => forget(trx, blobs));
    const app = await newApp(f, 'hoarder');
    const guids = await Promise.all(Array.from({ length: 8 }, () => made(f.developer, app)));
    const bits = await zipOf([{ path: 'noise', body: randomBytes(60_000) }]);
    const replies = await Promise.all(guids.map((guid) => send(f.developer, guid, { bits })));
    const used = await storedBytes(f.cc.db, f.organization);
    assert.ok(used <= LIMIT, `${used} bytes are in use`);
    const kept = replies.filter(({ body }) => body.state === 'READY');
    const refused = replies.filter(({ status }) => status === 422);
    assert.ok(kept.length > 0 && refused.length > 0 && kept.length + refused.length === replies.length);
    for (const { body } of refused)
      assert.match(body.errors[0].detail, /^Storage quota exceeded for organization 'acme'/);
    const theirs = await made(neighbour.developer, neighbour.app);
    assert.equal((await send(neighbour.developer, theirs, { bits })).body.state, 'READY');
    // Room that is made is room again.
    await f.developer.finished(await f.developer.delete(`/v3/apps/${app}`));
    assert.ok((await storedBytes(f.cc.db, f.organization)) < used);
    await newPackage(f, await newApp(f, 'afterwards'));
  });

  it('a droplet that a cell uploads counts as well, and one of no build is not taken', async () => {
    const take = (key: string, bytes: number) =>
      f.cc.room.takeUpload('droplets', key, Readable.from([randomBytes(bytes)]), { maxBytes: 1e9, announced: bytes });
    await assert.rejects(take(crypto.randomUUID(), 10), /belongs to nothing/);
    const packageGuid = await newPackage(f, await newApp(f, 'staged'));
    const build = (await f.developer.post('/v3/builds', { package: { guid: packageGuid } })).body;
    const row = f.cc.db.selectFrom('builds').select('droplet_guid').where('guid', '=', build.guid);
    const key = (await row.executeTakeFirstOrThrow()).droplet_guid;
    await assert.rejects(take(key, LIMIT + 1), /Storage quota exceeded/);
    assert.equal((await take(key, 1000)).bytes, 1000);
  });

  it('what is deleted while its bits come is told as not found by its own name, and leaves nothing', async () => {
    for (const [kind, name] of [
      ['packages', 'Package'],
      ['droplets', 'Droplet'],
      ['buildpack-caches', 'App'],
    ] as const) {
      const blob = { kind, key: crypto.randomUUID(), organizationGuid: f.organization };
      async function* bits() {
        yield Buffer.from('x');
        await f.cc.db.transaction().execute((trx) => forget(trx, [blob]));
      }
      const size = { maxBytes: 100, announced: 1 };
      const keeping = keepBlob(storage(), blob, Readable.from(bits(), { objectMode: false }), size);
      await assert.rejects(keeping, (error) => error instanceof CfError && error.detail === `${name} not found`);
      assert.equal(f.blobs.held.has(`${kind}/${blob.key}`), false);
    }
  });

  it('a disk that is nearly full takes no upload, and the package waits on', async () => {
    const guid = await made(neighbour.developer, neighbour.app);
    const bits = await zipOf([{ path: 'noise', body: randomBytes(2000) }]);
    f.blobs.free = 1000;
    const reply = await send(neighbour.developer, guid, { bits });
    f.blobs.free = Number.POSITIVE_INFINITY;
    assert.deepEqual([reply.status, reply.body.errors[0].title], [503, 'CF-ServiceUnavailable']);
    assert.equal((await send(neighbour.developer, guid, { bits })).body.state, 'READY');
  });

  it('a sweep removes what belongs to nothing, adopts what it does not know, and leaves what is young', async () => {
    const app = await newApp(f, 'swept');
    const kept = await newPackage(f, app);
    const waiting = await made(f.developer, app);
    const old = new Date(Date.now() - 25 * 3600_000);
    for (const [path, age] of [
      ['packages/gone', old],
      ['resources/gone', old],
      ['buildpacks/gone', old],
      ['droplets/young', new Date()],
    ] as const) {
      f.blobs.held.set(path, Buffer.from('x'));
      f.blobs.times.set(path, age);
    }
    f.blobs.times.set(`packages/${kept}`, old);
    const { db } = f.cc;
    await db.deleteFrom('stored_blobs').where('key', '=', kept).execute();
    const long = new Date(Date.now() - 7 * 3600_000);
    await db
      .updateTable('packages')
      .set({ state: 'PROCESSING_UPLOAD', updated_at: long })
      .where('guid', '=', guid<'package'>(waiting))
      .execute();
    await sweepStorage(storage());
    const left = [...f.blobs.held.keys()];
    assert.deepEqual(
      left.filter((path) => path.endsWith('/gone')),
      [],
    );
    assert.ok(left.includes('droplets/young') && left.includes(`packages/${kept}`));
    assert.ok(await db.selectFrom('stored_blobs').select('bytes').where('key', '=', kept).executeTakeFirst());
    assert.equal((await f.developer.get(`/v3/packages/${waiting}`)).body.state, 'FAILED');
  });

  it('matched files that nobody used for a month go', async () => {
    await f.cc.db
      .updateTable('matched_files')
      .set({ last_used_at: new Date(Date.now() - 31 * 24 * 3600_000) })
      .execute();
    await sweepStorage(storage());
    assert.deepEqual(await f.cc.db.selectFrom('matched_files').select('guid').execute(), []);
    assert.deepEqual(
      [...f.blobs.held.keys()].filter((path) => path.startsWith('resources/')),
      [],
    );
  });
});
