import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { seedBuildpacks } from '../../../src/cloud-controller/buildpacks/seed.ts';
import { cacheKey } from '../../../src/cloud-controller/builds/caches.ts';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import {
  eventually,
  newApp,
  newPackage,
  startTestFoundation,
  type TestFoundation,
  upload,
} from '../../support/apps.ts';
import type { Reply } from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';
import { silentLog } from '../../support/postgresql.ts';
import { zipOf } from '../../support/zips.ts';

const DETECT = { path: 'bin/detect', body: '#!/bin/sh', mode: 0o100755 };

describe('buildpacks of an operator', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  async function newBuildpack(name: string, more: object = {}): Promise<{ guid: string; url: string }> {
    const reply = await f.cc.admin.post('/v3/buildpacks', { name, ...more });
    assert.equal(reply.status, 201, JSON.stringify(reply.body));
    return { guid: reply.body.guid, url: `${f.cc.url}/v3/buildpacks/${reply.body.guid}/upload` };
  }
  const get = async (guid: string) => (await f.cc.admin.get(`/v3/buildpacks/${guid}`)).body;
  const zipWith = (manifest: string) => zipOf([DETECT, { path: 'manifest.yml', body: manifest }]);
  const said = ({ status, body }: Reply): [number, string] => [status, body.errors?.[0]?.detail ?? ''];

  it('BPK-05: an operator manages buildpacks; their places move', async () => {
    const { cc, developer } = f;
    assert.equal((await developer.post('/v3/buildpacks', { name: 'x' })).status, 403);
    const made = await cc.admin.post('/v3/buildpacks/', { name: 'ruby_buildpack', stack: 'debian12', position: 1 });
    assert.deepEqual([made.status, made.body.state, made.body.position], [201, 'AWAITING_UPLOAD', 1]);
    const url = `${cc.url}/v3/buildpacks/${made.body.guid}/upload`;
    const climbing = await upload(cc.admin, url, { bits: await zipOf([{ path: '../x', body: '1' }]) });
    assert.equal(climbing.body.errors[0].title, 'CF-BuildpackBitsUploadInvalid');
    const bits = await zipOf([{ path: 'bin/detect', body: '1' }]);
    const reply = await upload(cc.admin, url, { bits, name: 'ruby_buildpack-v1.zip' });
    assert.equal((await cc.admin.finished(reply)).body.state, 'COMPLETE');
    const list = (await developer.get('/v3/buildpacks')).body.resources;
    assert.deepEqual(
      list.map((item: { name: string; position: number; state: string }) => [item.name, item.position, item.state]),
      [
        ['ruby_buildpack', 1, 'READY'],
        ['nodejs_buildpack', 2, 'READY'],
      ],
    );
    await cc.admin.finished(await cc.admin.delete(`/v3/buildpacks/${made.body.guid}`));
    assert.deepEqual((await developer.get('/v3/stacks')).body.resources[0].name, 'debian12');
  });

  it('BPK-05: a zip is tied to the stack that its manifest names, and to no other', async () => {
    const free = await newBuildpack('free_buildpack');
    await f.cc.admin.finished(await upload(f.cc.admin, free.url, { bits: await zipWith('stack: debian12\n') }));
    assert.deepEqual([(await get(free.guid)).stack, (await get(free.guid)).state], ['debian12', 'READY']);

    const bound = await newBuildpack('bound_buildpack', { stack: 'debian12' });
    const other = await upload(f.cc.admin, bound.url, { bits: await zipWith('stack: cflinuxfs4\n') });
    assert.deepEqual([other.status, other.body.errors[0].title], [422, 'CF-BuildpackStacksDontMatch']);
    assert.equal((await get(bound.guid)).state, 'AWAITING_UPLOAD');

    const unknown = await newBuildpack('unknown_buildpack');
    const reply = await upload(f.cc.admin, unknown.url, { bits: await zipWith('stack: cflinuxfs4\n') });
    assert.equal(reply.body.errors[0].title, 'CF-BuildpackStackDoesNotExist');
    const again = await newBuildpack('free_buildpack');
    const taken = await upload(f.cc.admin, again.url, { bits: await zipWith('stack: debian12\n') });
    assert.match(
      taken.body.errors[0].detail,
      /^Buildpack with name '.*', stack '.*' and lifecycle 'buildpack' already exists$/,
    );
    for (const { guid } of [free, bound, unknown, again]) {
      await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${guid}`));
    }
  });

  it('positions close up after a buildpack is deleted', async () => {
    const positions = async (): Promise<[string, number][]> => {
      const { resources } = (await f.cc.admin.get('/v3/buildpacks')).body;
      return resources.map(({ name, position }: { name: string; position: number }) => [name, position]);
    };
    const before = await positions();
    const first = await newBuildpack('first_buildpack', { position: 1 });
    const last = await newBuildpack('last_buildpack');
    await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${first.guid}`));
    assert.deepEqual(await positions(), [...before, ['last_buildpack', before.length + 1]]);
    await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${last.guid}`));
    assert.deepEqual(await positions(), before);
  });

  it('SECURITY 24: a hostile zip is refused whole, and the former content stays', async () => {
    const { guid, url } = await newBuildpack('victim_buildpack');
    await f.cc.admin.finished(await upload(f.cc.admin, url, { bits: await zipOf([DETECT]), name: 'good.zip' }));
    const kept = () =>
      f.cc.db
        .selectFrom('buildpacks')
        .select(['filename', 'sha256', 'blob_key', 'state'])
        .where('guid', '=', guid)
        .execute();
    const good = await kept();
    const { puts } = f.blobs;
    const bomb = Buffer.alloc(300 * 1024 ** 2);
    const levels = Array.from(
      { length: 9 },
      (_, at) => `l${at + 1}: &l${at + 1} [${Array(9).fill(`*l${at}`).join(',')}]`,
    );
    const aliases = `l0: &l0 x\n${levels.join('\n')}\nstack: debian12\n`;
    const link = (body: string) => zipOf([{ path: 'bin/detect', body, mode: 0o120777 }]);
    const refused: [Buffer, string][] = [
      [await zipOf([DETECT, { path: '../../etc/cron.d/x', body: '1' }]), "'../../etc/cron.d/x' leaves the archive"],
      [await zipOf([{ path: '/etc/passwd', body: '1' }]), "'/etc/passwd' is not a relative path"],
      [await link('/etc/shadow'), "'bin/detect' links to a place outside the archive"],
      [await link('../../x'), "'bin/detect' links to a place outside the archive"],
      [await zipOf([{ path: 'dev', body: '', mode: 0o020666 }]), "'dev' is a device, a pipe or a socket"],
      [await zipOf([DETECT, DETECT]), "'bin/detect' is in the archive twice"],
      [await zipOf([{ path: 'zeros', body: bomb }]), 'the archive is compressed more than is allowed'],
      [Buffer.from('no zip at all'), 'the upload is not a zip archive'],
    ];
    const badManifest: [Buffer, string][] = [
      [await zipWith(aliases), 'manifest.yml is not valid YAML'],
      [await zipWith(`x: ${'a'.repeat(2 * 1024 ** 2)}`), 'manifest.yml is too long'],
    ];
    const cases = [
      ...refused.map(([bits, why]) => {
        const detail = `The buildpack upload is invalid: ${why}`;
        return { bits, answer: [400, 'CF-BuildpackBitsUploadInvalid', detail] };
      }),
      ...badManifest.map(([bits, why]) => {
        return { bits, answer: [422, 'CF-BuildpackZipError', `Buildpack zip error: ${why}`] };
      }),
    ];
    for (const { bits, answer } of cases) {
      const { status, body } = await upload(f.cc.admin, url, { bits, name: 'evil.zip' });
      assert.deepEqual([status, body.errors?.[0].title, body.errors?.[0].detail], answer, String(answer));
    }
    assert.deepEqual(await kept(), good);
    assert.equal(f.blobs.puts, puts, 'nothing of it is stored');
    await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${guid}`));
  });

  it('a locked buildpack takes no bits, and a disabled one stages nothing', async () => {
    const { guid, url } = await newBuildpack('held_buildpack', { locked: true });
    const refused = await upload(f.cc.admin, url, { bits: await zipOf([DETECT]) });
    assert.deepEqual([refused.status, refused.body.errors[0].detail], [422, 'Buildpack is locked']);
    await f.cc.admin.patch(`/v3/buildpacks/${guid}`, { locked: false, enabled: false });
    await f.cc.admin.finished(await upload(f.cc.admin, url, { bits: await zipOf([DETECT]) }));
    const app = await newApp(f, 'held', { lifecycle: { type: 'buildpack', data: { buildpacks: ['held_buildpack'] } } });
    const build = await f.developer.post('/v3/builds', { package: { guid: await newPackage(f, app) } });
    assert.equal(build.status, 422);
    await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${guid}`));
  });

  it('BPK-03: builds get the buildpacks named, in that order, in the version of the day', async () => {
    const { guid, url } = await newBuildpack('tool_buildpack');
    const zips = new Map<string, Buffer>();
    for (const body of ['1', '2']) zips.set(body, await zipOf([DETECT, { path: 'VERSION', body }]));
    const send = async (body: string) => f.cc.admin.finished(await upload(f.cc.admin, url, { bits: zips.get(body)! }));
    await send('1');
    const address = 'https://example.org/own.zip?token=1';
    const buildpacks = ['tool_buildpack', address, 'nodejs_buildpack'];
    const app = await newApp(f, 'multi', { lifecycle: { type: 'buildpack', data: { buildpacks } } });
    const packageGuid = await newPackage(f, app);
    const staged = async () => {
      const build = (await f.developer.post('/v3/builds', { package: { guid: packageGuid } })).body;
      const task = await eventually(() => f.bbs.tasks.get(build.guid));
      assert.ok(task.work.case === 'staging');
      await f.internal.taskCompleted({ taskGuid: build.guid, domain: task.domain, failed: true, failureReason: 'x' });
      f.bbs.tasks.delete(build.guid);
      return task.work.value.buildpacks;
    };
    const first = await staged();
    assert.deepEqual(
      first.map(({ name, skipDetect }) => [name, skipDetect]),
      buildpacks.map((name) => [name, true]),
    );
    assert.deepEqual([first[1]?.key, first[1]?.blob], [address, undefined]);
    await send('2');
    const second = await staged();
    assert.notEqual(second[0]?.key, first[0]?.key, 'the next staging runs the new content');
    assert.equal(second[2]?.key, first[2]?.key);
    await send('1');
    assert.equal((await staged())[0]?.key, first[0]?.key, 'the key is one of the content');
    await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${guid}`));
  });

  it('an address is one of a zip without a password; git is answered clearly', async () => {
    const lifecycle = (buildpack: string) => ({ lifecycle: { type: 'buildpack', data: { buildpacks: [buildpack] } } });
    const app = await newApp(f, 'addressed');
    const refused: [string, RegExp][] = [
      ['https://github.com/cloudfoundry/python-buildpack', /git repositories are not cloned/],
      ['https://github.com/cloudfoundry/python-buildpack.git#v1', /git repositories are not cloned/],
      ['git@github.com:cloudfoundry/python-buildpack', /git repositories are not cloned/],
      ['ssh://git@example.org/x.zip', /user name or password/],
      ['file:///etc/passwd.zip', /http\(s\) address of a zip/],
      ['https://user:hunter2@example.org/x.zip', /user name or password/],
      ['no_such_buildpack', /must be an existing admin buildpack/],
    ];
    for (const [buildpack, expected] of refused) {
      const reply = await f.developer.patch(`/v3/apps/${app}`, lifecycle(buildpack));
      assert.equal(reply.status, 422, buildpack);
      assert.match(reply.body.errors[0].detail, expected, buildpack);
      assert.doesNotMatch(JSON.stringify(reply.body), /hunter2/);
    }
    const taken = await f.developer.patch(`/v3/apps/${app}`, lifecycle('https://example.org/x.zip'));
    assert.deepEqual(taken.body.lifecycle.data.buildpacks, ['https://example.org/x.zip']);
  });

  it('a buildpack address with anything that curl could take for a setting is refused', async () => {
    const app = await newApp(f, 'fetches');
    const set = async (address: string) => {
      const lifecycle = { type: 'buildpack', data: { buildpacks: [address] } };
      return said(await f.developer.patch(`/v3/apps/${app}`, { lifecycle }));
    };
    for (const hostile of [
      'https://example.com/a\n.zip',
      'https://example.com/a.zip\n',
      'https://example.com/a.zip?\noutput = "x',
      'https://example.com/a b.zip',
      'https://example.com/a".zip',
      'https://example.com/a\\n.zip',
      'https://example.com/a.zip?x=\u007f',
    ]) {
      const [status, detail] = await set(hostile);
      assert.deepEqual([status, /must be an existing admin buildpack or/.test(detail)], [422, true], hostile);
    }
    assert.deepEqual(await set('https://example.com/a%20b.zip?version=1'), [200, '']);
  });

  it('a cleared buildpack cache is gone: one app’s by its developer, everybody’s by the admin', async () => {
    const { cc, developer, blobs } = f;
    const stranger = await cc.person('stranger');
    const stack = (await cc.admin.get('/v3/stacks')).body.resources[0].name;
    const apps = [await newApp(f, 'first-cache'), await newApp(f, 'second-cache')];
    const keys = apps.map((app) => `buildpack-caches/${cacheKey(app, stack)}`);
    const fill = (): void => {
      for (const key of keys) blobs.held.set(key, Buffer.from('cache'));
    };
    const held = (): boolean[] => keys.map((key) => blobs.held.has(key));
    fill();
    const clear = `/v3/apps/${apps[0]}/actions/clear_buildpack_cache`;
    assert.equal((await stranger.post(clear)).status, 404);
    assert.equal((await developer.post('/v3/admin/actions/clear_buildpack_cache')).status, 403);
    assert.deepEqual(held(), [true, true]);
    assert.equal((await developer.finished(await developer.post(clear))).body.state, 'COMPLETE');
    assert.deepEqual(held(), [false, true]);
    fill();
    const all = await cc.admin.post('/v3/admin/actions/clear_buildpack_cache');
    assert.equal((await cc.admin.finished(all)).body.state, 'COMPLETE');
    assert.deepEqual(held(), [false, false]);
  });

  it('what the caches of all apps took is free again once they are cleared', async () => {
    const { cc } = f;
    const key = `${await newApp(f, 'cached')}-debian12`;
    const cache = { kind: 'buildpack-caches', key, organization_guid: f.organization, bytes: 10 } as const;
    await cc.db.insertInto('stored_blobs').values(cache).execute();
    await cc.admin.finished(await cc.admin.post('/v3/admin/actions/clear_buildpack_cache'));
    const left = await cc.db.selectFrom('stored_blobs').select('key').where('kind', '=', 'buildpack-caches').execute();
    assert.deepEqual(left, []);
  });

  it('buildpacks: a stack stands, whoever uploads content of none meanwhile', async () => {
    const { cc } = f;
    const guid = (await newBuildpack('tied_meanwhile')).guid;
    const bits = await zipOf([{ path: 'bin/detect', body: '#!/bin/sh' }]);
    const uploaded = () => upload(cc.admin, `${cc.url}/v3/buildpacks/${guid}/upload`, { bits });
    const tying = (trx: Trx) =>
      trx.updateTable('buildpacks').set({ stack: 'debian12' }).where('guid', '=', guid).execute();
    assert.equal((await whileHeld(cc.db, tying, uploaded)).status, 202);
    assert.equal((await get(guid)).stack, 'debian12');
  });
});

describe("the platform's own buildpacks over restarts", () => {
  it('what an operator replaced or deleted stays so until the platform brings another version', async () => {
    const f = await startTestFoundation();
    const directory = mkdtempSync('/tmp/cupola-seed-');
    try {
      const version = async (name: string, body: string) => {
        const file = join(directory, `${name}-${body}.zip`);
        if (!existsSync(file)) writeFileSync(file, await zipOf([DETECT, { path: 'VERSION', body }]));
        const zip = readFileSync(file);
        return { name, stack: 'debian12', file, sha256: createHash('sha256').update(zip).digest('hex') };
      };
      const seed = async (body: string) =>
        seedBuildpacks({ db: f.cc.db, blobs: f.blobs, log: silentLog }, [
          { ...(await version('one_buildpack', body)), position: 1 },
          { ...(await version('two_buildpack', body)), position: 2 },
        ]);
      const list = async () =>
        (await f.cc.admin.get('/v3/buildpacks')).body.resources.map((item: { name: string; filename: string }) => [
          item.name,
          item.filename,
        ]);
      const guidOf = async (name: string) =>
        (await f.cc.admin.get(`/v3/buildpacks?names=${name}`)).body.resources[0].guid;
      await seed('1');
      const node = ['nodejs_buildpack', 'nodejs_buildpack.zip'];
      assert.deepEqual(await list(), [
        ['one_buildpack', 'one_buildpack-1.zip'],
        ['two_buildpack', 'two_buildpack-1.zip'],
        node,
      ]);

      const url = `${f.cc.url}/v3/buildpacks/${await guidOf('one_buildpack')}/upload`;
      await f.cc.admin.finished(await upload(f.cc.admin, url, { bits: await zipOf([DETECT]), name: 'mine.zip' }));
      await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${await guidOf('two_buildpack')}`));
      await seed('1');
      assert.deepEqual(await list(), [['one_buildpack', 'mine.zip'], node]);

      const kept = f.blobs.puts;
      await f.cc.admin.patch(`/v3/buildpacks/${await guidOf('one_buildpack')}`, { locked: true });
      await seed('2');
      assert.deepEqual(await list(), [['one_buildpack', 'mine.zip'], ['two_buildpack', 'two_buildpack-2.zip'], node]);
      assert.equal(f.blobs.puts, kept + 1, 'one content was read');
      await f.cc.admin.patch(`/v3/buildpacks/${await guidOf('one_buildpack')}`, { locked: false });
      await seed('2');
      assert.deepEqual((await list())[0], ['one_buildpack', 'one_buildpack-2.zip']);

      const { puts } = f.blobs;
      const linked = async (name: string) => {
        const known = await version(name, '3');
        const file = join(directory, `given-${known.sha256}.zip`);
        copyFileSync(known.file, file);
        return { ...known, linkedFile: file };
      };
      await seedBuildpacks({ db: f.cc.db, blobs: f.blobs, log: silentLog }, [
        { ...(await linked('one_buildpack')), position: 1 },
        { ...(await version('two_buildpack', '3')), position: 2, linkedFile: join(directory, 'none.zip') },
      ]);
      assert.deepEqual(
        (await list()).slice(0, 2).map(([, filename]: string[]) => filename),
        ['one_buildpack-3.zip', 'two_buildpack-3.zip'],
      );
      assert.equal(f.blobs.puts, puts + 1, 'what is linked is not read');
    } finally {
      rmSync(directory, { recursive: true });
      await f.close();
    }
  });
});
