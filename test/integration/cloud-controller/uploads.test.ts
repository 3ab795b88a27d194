import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import { type Blobstore, createBlobstore } from '../../../src/blobstore/blobstore.ts';
import type { TestFoundation } from '../../support/apps.ts';
import { eventually, grant, newApp, newPackage, newSpace, startTestFoundation, upload } from '../../support/apps.ts';
import { silentLog } from '../../support/postgresql.ts';
import { type Sent, sendAndEnd } from '../../support/upload-endings.ts';
import { zipOf } from '../../support/zips.ts';

const LIMIT = 4 * 1024 ** 2;
const BOUNDARY = 'form';
const multipart = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

/** One part of a form, without the boundary after it. */
function part(name: string, content: string | Buffer, file?: string): Buffer {
  const named = file === undefined ? '' : `; filename="${file}"`;
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${named}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(content), Buffer.from('\r\n')]);
}
const END = Buffer.from(`--${BOUNDARY}--\r\n`);

describe('every upload, however it ends, leaves the server answering', () => {
  let f: TestFoundation;
  let store: Blobstore;
  let cells: Server;
  const directory = mkdtempSync('/tmp/cupola-uploads-');
  /** What nobody caught: in the control process each of them would be its end. */
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown) => void uncaught.push(error);

  before(async () => {
    process.on('uncaughtException', onUncaught);
    f = await startTestFoundation({ storage: { perOrganizationBytes: LIMIT } });
    cells = createServer((request, response) => store.handler(request, response));
    await new Promise<void>((resolve) => cells.listen(0, '127.0.0.1', resolve));
    store = createBlobstore({
      directory,
      baseUrl: `http://127.0.0.1:${(cells.address() as AddressInfo).port}`,
      signingKey: randomBytes(32),
      log: silentLog,
      reserve: () => 0,
      takeUpload: (...given) => f.cc.room.takeUpload(...given),
    });
    await store.start();
  });
  after(async () => {
    cells.closeAllConnections();
    await new Promise((resolve) => cells.close(resolve));
    await store.close();
    await f.close();
    rmSync(directory, { recursive: true, force: true });
    process.off('uncaughtException', onUncaught);
  });

  const answersOn = async () => {
    assert.deepEqual(uncaught, []);
    await eventually(() => f.blobs.roomHeld === 0);
    assert.equal((await f.developer.get('/v3/packages')).status, 200);
  };
  const made = async (path: string, body: object, by = f.developer): Promise<string> => {
    const reply = await by.post(path, body);
    assert.equal(reply.status, 201, JSON.stringify(reply.body));
    return reply.body.guid;
  };

  /** Each operation with something that waits for its upload, and with something that does not. */
  const OPERATIONS = {
    package: {
      waiting: async () => {
        const app = await newApp(f, `p-${randomBytes(6).toString('hex')}`);
        return `/v3/packages/${await made('/v3/packages', { type: 'bits', relationships: { app: { data: { guid: app } } } })}`;
      },
      refusing: async () =>
        `/v3/packages/${await newPackage(f, await newApp(f, `p-${randomBytes(6).toString('hex')}`))}`,
      refusal: 400,
      token: () => f.developer.token,
    },
    droplet: {
      waiting: async () => {
        const app = await newApp(f, `d-${randomBytes(6).toString('hex')}`);
        return `/v3/droplets/${await made('/v3/droplets', { relationships: { app: { data: { guid: app } } } })}`;
      },
      refusing: async () => {
        const path = await OPERATIONS.droplet.waiting();
        assert.equal((await upload(f.developer, `${f.cc.url}${path}/upload`, { bits: Buffer.from('x') })).status, 202);
        return path;
      },
      refusal: 400,
      token: () => f.developer.token,
    },
    buildpack: {
      waiting: async () =>
        `/v3/buildpacks/${await made('/v3/buildpacks', { name: `b-${randomBytes(6).toString('hex')}` }, f.cc.admin)}`,
      refusing: async () =>
        `/v3/buildpacks/${await made('/v3/buildpacks', { name: `b-${randomBytes(6).toString('hex')}`, locked: true }, f.cc.admin)}`,
      refusal: 422,
      token: () => f.cc.admin.token,
    },
  };

  for (const [name, operation] of Object.entries(OPERATIONS)) {
    const send = (path: string, sent: Omit<Sent, 'method' | 'path'>) =>
      sendAndEnd(f.cc.url, {
        method: 'POST',
        path: `${path}/upload`,
        ...sent,
        headers: { ...multipart, authorization: `bearer ${operation.token()}`, ...sent.headers },
      });

    it(`SECURITY 25: of a ${name}, cut at any time`, async () => {
      const body = Buffer.concat([part('bits', randomBytes(200_000), 'a.zip'), END]);
      for (const cutAfterMs of [0, 1, 2, 4, 8, 16, 60]) {
        const path = await operation.waiting();
        await send(path, { announced: body.length, body: body.subarray(0, 100_000), cutAfterMs });
        await eventually(async () => uncaught.length > 0 || (await stateOf(path)) !== 'PROCESSING_UPLOAD');
      }
      await answersOn();
    });

    it(`SECURITY 25: of a ${name}, refused before it is read, with much, little or nothing sent`, async () => {
      const path = await operation.refusing();
      for (const body of [Buffer.alloc(0), Buffer.alloc(10), Buffer.alloc(400_000)]) {
        const { status, ended } = await send(path, { announced: 3_000_000, body });
        assert.deepEqual([status, ended], [operation.refusal, true]);
      }
      await answersOn();
    });

    it(`SECURITY 25: of a ${name}, a form of no kind`, async () => {
      for (const type of ['multipart/form-data', 'multipart/form-data; boundary=']) {
        const headers = { 'content-type': type };
        const { status } = await send(await operation.waiting(), {
          announced: 100_000,
          body: Buffer.alloc(10),
          headers,
        });
        assert.equal(status, 422, type);
      }
      await answersOn();
    });

    it(`SECURITY 25: of a ${name}, a form that ends within a part that nobody wants`, async () => {
      for (const parts of [
        [part('other', 'x'.repeat(100), 'a.zip')],
        [part('bits', 'x', 'a.zip'), part('bits', 'y'.repeat(100), 'b.zip')],
        [part('bits', 'x'.repeat(100), 'a.zip')],
      ]) {
        const body = Buffer.concat(parts);
        const { status } = await send(await operation.waiting(), { announced: body.length, body });
        assert.equal(status, 400);
      }
      await answersOn();
    });

    if (name === 'buildpack') continue;
    it(`SECURITY 25: of a ${name}, past the share of its organization`, async () => {
      const path = await operation.waiting();
      const { status, ended } = await send(path, { announced: LIMIT + 1, body: Buffer.alloc(10) });
      assert.deepEqual([status, ended], [422, true]);
      assert.equal(await stateOf(path), 'AWAITING_UPLOAD');
      await answersOn();
    });
  }

  it('SECURITY 25: of a package or a droplet, cut while its share is asked for', async () => {
    const lock = sql<unknown>`SELECT pg_advisory_xact_lock(hashtext('storage'), hashtext(${f.organization}))`;
    for (const { waiting, token } of [OPERATIONS.package, OPERATIONS.droplet]) {
      const path = await waiting();
      const headers = { ...multipart, authorization: `bearer ${token()}` };
      await f.cc.db.transaction().execute(async (trx) => {
        await lock.execute(trx);
        const sent = { method: 'POST', path: `${path}/upload`, headers, announced: 100_000, body: Buffer.alloc(10) };
        await Promise.all([
          sendAndEnd(f.cc.url, { ...sent, cutAfterMs: 1500 }),
          eventually(async () => (await stateOf(path)) === 'PROCESSING_UPLOAD'),
        ]);
      });
      await eventually(async () => (await stateOf(path)) === 'FAILED');
    }
    await answersOn();
  });

  it('an upload that is refused with a short rest leaves its connection to the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const call = async (method: string, path: string, body: Buffer | null) => {
      const headers = { ...multipart, authorization: `bearer ${f.developer.token}` };
      const sent = request(`${f.cc.url}${path}`, { method, agent, headers });
      sent.end(body);
      const [response] = await once(sent, 'response');
      await buffer(response);
      return { status: response.statusCode, reused: sent.reusedSocket };
    };
    const path = await OPERATIONS.package.refusing();
    assert.equal((await call('POST', `${path}/upload`, Buffer.alloc(200_000))).status, 400);
    assert.deepEqual(await call('GET', path, null), { status: 200, reused: true });
    agent.destroy();
  });

  /** An upload of the developer's that announces much, and of which little comes. */
  const stalled = (path: string, announced: number, cutAfterMs: number) =>
    sendAndEnd(f.cc.url, {
      method: 'POST',
      path: `${path}/upload`,
      headers: { ...multipart, authorization: `bearer ${f.developer.token}` },
      announced,
      body: part('bits', Buffer.alloc(1000), 'a.zip'),
      cutAfterMs,
    });

  it('SECURITY 30: what uploads announce is held until they end: two never count on the same room of the disk', async () => {
    const announced = 1_000_000;
    const [first, second] = [await OPERATIONS.package.waiting(), await OPERATIONS.package.waiting()];
    // An upload lies on the disk twice for a moment: this is room for one.
    f.blobs.free = announced * 3;
    try {
      const open = stalled(first, announced, 2000);
      await eventually(() => f.blobs.roomHeld > announced);
      assert.equal((await stalled(second, announced, 1500)).status, 503);
      assert.equal(await stateOf(second), 'AWAITING_UPLOAD');
      await open;
      await eventually(() => f.blobs.roomHeld === 0);
      assert.equal((await stalled(second, announced, 500)).status, 0);
      await eventually(async () => (await stateOf(second)) === 'FAILED');
    } finally {
      f.blobs.free = Number.POSITIVE_INFINITY;
    }
    await answersOn();
  });

  it('SECURITY 30: what one developer announces refuses neither the uploads of others nor what else they bring', async () => {
    const organization = await made('/v3/organizations', { name: 'beside' }, f.cc.admin);
    const space = await newSpace(f.cc, organization, 'beside');
    const neighbour = await f.cc.person('beside');
    await grant(f.cc, neighbour, 'space_developer', organization, space);
    const announced = 1_200_000;
    const paths = [
      await OPERATIONS.package.waiting(),
      await OPERATIONS.package.waiting(),
      await OPERATIONS.package.waiting(),
    ];
    const bits = await zipOf([{ path: 'app', body: randomBytes(announced) }]);
    f.blobs.free = announced * 7;
    try {
      const open = paths.map((path) => stalled(path, announced, 8000));
      await eventually(() => f.blobs.roomHeld > announced * 5);
      const relationships = { space: { data: { guid: space } } };
      const app = await made('/v3/apps', { name: 'beside', relationships }, neighbour);
      const body = { type: 'bits', relationships: { app: { data: { guid: app } } } };
      const path = `/v3/packages/${await made('/v3/packages', body, neighbour)}`;
      const reply = await upload(neighbour, `${f.cc.url}${path}/upload`, { bits });
      assert.deepEqual([reply.status, reply.body.state], [200, 'READY']);
      await Promise.all(open);
    } finally {
      f.blobs.free = Number.POSITIVE_INFINITY;
    }
    await answersOn();
  });

  it('an upload whose last step fails waits on where its client may try again, else it has failed; nothing of it stays', async () => {
    const { db } = f.cc;
    const bits = await zipOf([{ path: 'app', body: 'x' }]);
    for (const [kind, { waiting }] of [
      ['packages', OPERATIONS.package],
      ['droplets', OPERATIONS.droplet],
    ] as const) {
      const paths = [await waiting(), await waiting()];
      const send = async (path = '') => (await upload(f.developer, `${f.cc.url}${path}/upload`, { bits })).status;
      const [away, broken] = paths;
      await sql`CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NEW; END $$`.execute(db);
      await sql`CREATE TRIGGER go_away BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION go_away()`.execute(
        db,
      );
      try {
        assert.equal(await send(away), 503);
        assert.equal(await stateOf(away ?? ''), 'AWAITING_UPLOAD');
      } finally {
        await sql`DROP TRIGGER go_away ON audit_events`.execute(db);
        await sql`DROP FUNCTION go_away`.execute(db);
      }
      await sql`ALTER TABLE audit_events RENAME TO events_away`.execute(db);
      try {
        assert.equal(await send(broken), 500);
      } finally {
        await sql`ALTER TABLE events_away RENAME TO audit_events`.execute(db);
      }
      assert.equal(await stateOf(broken ?? ''), 'FAILED');
      for (const path of paths) assert.equal(f.blobs.held.has(`${kind}/${path.split('/').at(-1)}`), false);
      assert.ok([200, 202].includes(await send(away)));
    }
    await answersOn();
  });

  it('SECURITY 25: the texts of forms count among all texts of their caller', async () => {
    const text = part('resources', 'x'.repeat(1_900_000)).subarray(0, -10);
    const paths = await Promise.all(Array.from({ length: 16 }, () => OPERATIONS.buildpack.waiting()));
    const headers = { ...multipart, authorization: `bearer ${f.cc.admin.token}` };
    const replies = await Promise.all(
      paths.map((path) =>
        sendAndEnd(f.cc.url, {
          method: 'POST',
          path: `${path}/upload`,
          headers,
          announced: 3_000_000,
          body: text,
          cutAfterMs: 8000,
        }),
      ),
    );
    const refused = replies.filter(({ status }) => status === 429);
    const taken = replies.filter(({ status }) => status === 0);
    assert.ok(refused.length >= 3 && taken.length >= 1, replies.map(({ status }) => status).join());
    assert.equal(refused.length + taken.length, replies.length);
    await answersOn();
  });

  it('the trail fails: no download leaves its blob open', async () => {
    const package_ = `/v3/packages/${await newPackage(f, await newApp(f, 'untold'))}`;
    const droplet = await OPERATIONS.droplet.refusing();
    await sql`ALTER TABLE audit_events RENAME TO events_away`.execute(f.cc.db);
    try {
      for (const path of [package_, droplet]) {
        const before = f.blobs.opened;
        assert.equal((await f.developer.get(`${path}/download`)).status, 500);
        assert.equal(f.blobs.opened, before);
      }
    } finally {
      await sql`ALTER TABLE events_away RENAME TO audit_events`.execute(f.cc.db);
    }
  });

  const stateOf = async (path: string): Promise<string> => (await f.cc.admin.get(path)).body.state;

  it('SECURITY 25: of a blob of a cell, refused before it is read or cut', async () => {
    const { pathname, search, origin } = new URL(store.blobs.signedUrl('PUT', 'droplets', crypto.randomUUID(), 60));
    for (const sent of [
      { body: Buffer.alloc(10) },
      { body: Buffer.alloc(400_000) },
      { body: Buffer.alloc(10), cutAfterMs: 1 },
      { body: Buffer.alloc(10), cutAfterMs: 5 },
    ]) {
      const path = `${pathname}${search}`;
      const { status, ended } = await sendAndEnd(origin, {
        method: 'PUT',
        path,
        announced: 3_000_000,
        headers: {},
        ...sent,
      });
      if (!('cutAfterMs' in sent)) assert.deepEqual([status, ended], [507, true]);
    }
    await answersOn();
    assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
  });

  it('SECURITY 24: a small entry with a broken header beside a matched file is refused with 422', async () => {
    const content = randomBytes(70_000);
    const first = await OPERATIONS.package.waiting();
    const bits = await zipOf([{ path: 'known', body: content }]);
    assert.equal((await upload(f.developer, `${f.cc.url}${first}/upload`, { bits })).body.state, 'READY');
    const broken = await zipOf([{ path: 'small', body: 'x' }]);
    broken.writeUInt32LE(0, broken.indexOf(Buffer.from('PK\x03\x04', 'latin1')));
    const value = createHash('sha1').update(content).digest('hex');
    const resources = [{ checksum: { value }, size_in_bytes: content.length, path: 'known', mode: '644' }];
    const path = await OPERATIONS.package.waiting();
    const reply = await upload(f.developer, `${f.cc.url}${path}/upload`, { bits: broken, resources });
    assert.deepEqual([reply.status, reply.body.errors[0].title], [422, 'CF-AppBitsUploadInvalid']);
    assert.equal(await stateOf(path), 'FAILED');
    await answersOn();
  });
});
