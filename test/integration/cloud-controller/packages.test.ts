import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { newApp, startTestFoundation, type TestFoundation, upload } from '../../support/apps.ts';
import { zipOf } from '../../support/zips.ts';

describe('packages', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  it('SECURITY 24: a hostile upload is refused with a reason and the package fails', async () => {
    const { developer, cc, blobs } = f;
    const app = await newApp(f, 'hostile');
    const relationships = { app: { data: { guid: app } } };
    for (const items of [
      [{ path: '../../etc/cron.d/x', body: 'x' }],
      [{ path: 'link', body: '/etc/passwd', mode: 0o120777 }],
      [{ path: 'dev', body: '', mode: 0o020666 }],
    ]) {
      const { guid } = (await developer.post('/v3/packages', { type: 'bits', relationships })).body;
      const reply = await upload(developer, `${cc.url}/v3/packages/${guid}/upload`, { bits: await zipOf(items) });
      assert.equal(reply.status, 422);
      assert.equal(reply.body.errors[0].title, 'CF-AppBitsUploadInvalid');
      assert.equal((await developer.get(`/v3/packages/${guid}`)).body.state, 'FAILED');
      assert.equal(blobs.held.has(`packages/${guid}`), false);
    }
  });

  it('an upload that is whole is kept as it lies on the disk, and is not written again', async () => {
    const { developer, cc, blobs } = f;
    const app = await newApp(f, 'whole');
    const relationships = { app: { data: { guid: app } } };
    const { guid } = (await developer.post('/v3/packages', { type: 'bits', relationships })).body;
    const bits = await zipOf([{ path: 'small', body: 'content' }]);
    const before = { puts: blobs.puts, written: blobs.written };
    const reply = await upload(developer, `${cc.url}/v3/packages/${guid}/upload`, { bits });
    assert.equal(reply.body.state, 'READY');
    assert.ok(blobs.held.get(`packages/${guid}`)?.equals(bits));
    const sha256 = createHash('sha256').update(bits).digest('hex');
    assert.deepEqual(reply.body.data.checksum, { type: 'sha256', value: sha256 });
    assert.deepEqual({ puts: blobs.puts, written: blobs.written - bits.length }, before);
  });

  it('files the platform has are matched and put into the package', async () => {
    const { developer, cc, blobs } = f;
    const app = await newApp(f, 'matched');
    const relationships = { app: { data: { guid: app } } };
    const big = Buffer.alloc(100_000, 3);
    const first = (await developer.post('/v3/packages', { type: 'bits', relationships })).body.guid;
    await upload(developer, `${cc.url}/v3/packages/${first}/upload`, {
      bits: await zipOf([{ path: 'big', body: big }]),
    });
    const resource = {
      checksum: { value: createHash('sha1').update(big).digest('hex') },
      size_in_bytes: big.length,
      path: 'big',
      mode: '644',
    };
    const unknown = { ...resource, checksum: { value: '0'.repeat(40) } };
    const matches = await developer.post('/v3/resource_matches', { resources: [resource, unknown] });
    assert.deepEqual(matches.body.resources, [resource]);
    for (const [wrong, why] of [
      [{ checksum: { value: 'short' } }, 'a non-SHA1 checksum value'],
      [{ checksum: { value: 7 } }, 'a non-SHA1 checksum value'],
      [{ size_in_bytes: -1 }, 'a wrong size_in_bytes'],
      [{ mode: '0789' }, 'an incorrect mode'],
    ] as const) {
      const twice = [{ ...resource, ...wrong }, resource, { ...resource, ...wrong }];
      const refused = await developer.post('/v3/resource_matches', { resources: twice });
      assert.equal(refused.status, 422);
      assert.equal(refused.body.errors[0].detail, `Resources array contains at least one resource with ${why}`);
    }
    const second = (await developer.post('/v3/packages', { type: 'bits', relationships })).body.guid;
    const url = `${cc.url}/v3/packages/${second}/upload`;
    assert.equal((await upload(developer, url, { resources: [resource] })).body.state, 'READY');
    assert.ok(blobs.held.has(`packages/${second}`));
    assert.equal((await upload(developer, url, { resources: [resource] })).body.errors[0].code, 150004);
  });
});
