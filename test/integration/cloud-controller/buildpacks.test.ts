import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { seedBuildpacks } from '../../../src/cloud-controller/buildpacks/seed.ts';
import {
  eventually,
  newApp,
  newPackage,
  startTestFoundation,
  type TestFoundation,
  upload,
} from '../../support/apps.ts';
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
    assert.match(taken.body.errors[0].detail, /already in use/);
    for (const { guid } of [free, bound, unknown, again]) {
      await f.cc.admin.finished(await f.cc.admin.delete(`/v3/buildpacks/${guid}`));
    }
  });

  it('SEC-24: a hostile zip is refused whole, and the former content stays', async () => {
    const { guid, url } = await newBuildpack('victim_buildpack');
    await f.cc.admin.finished(await upload(f.cc.admin, url, { bits: await zipOf([DETECT]), name: 'good.zip' }));
    const good = await get(guid);
    const bomb = Buffer.alloc(300 * 1024 ** 2);
    const aliases = `a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\nstack: debian12\n`;
    const hostile: Record<string, Buffer> = {
      slip: await zipOf([DETECT, { path: '../../etc/cron.d/x', body: '1' }]),
      absolute: await zipOf([{ path: '/etc/passwd', body: '1' }]),
      link: await zipOf([{ path: 'bin/detect', body: '/etc/shadow', mode: 0o120777 }]),
      climbing: await zipOf([{ path: 'bin/detect', body: '../../x', mode: 0o120777 }]),
      device: await zipOf([{ path: 'dev', body: '', mode: 0o020666 }]),
      twice: await zipOf([DETECT, DETECT]),
      bomb: await zipOf([{ path: 'zeros', body: bomb }]),
      aliases: await zipWith(aliases),
      long: await zipWith(`x: ${'a'.repeat(2 * 1024 ** 2)}`),
      none: Buffer.from('no zip at all'),
    };
    for (const [name, bits] of Object.entries(hostile)) {
      const reply = await upload(f.cc.admin, url, { bits, name: 'evil.zip' });
      assert.ok([400, 422].includes(reply.status), `${name}: ${reply.status}`);
      assert.match(reply.body.errors[0].title, /^CF-Buildpack(BitsUploadInvalid|ZipError)$/, name);
      assert.doesNotMatch(JSON.stringify(reply.body), /\/tmp\//, name);
    }
    assert.deepEqual((await get(guid)).filename, good.filename);
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
    } finally {
      rmSync(directory, { recursive: true });
      await f.close();
    }
  });
});
