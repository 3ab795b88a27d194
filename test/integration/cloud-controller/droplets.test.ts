import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { lockApp } from '../../../src/cloud-controller/apps/store.ts';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { Logger } from '../../../src/kit/log.ts';
import { eventually, newApp, runningApp, stage, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { whileHeld } from '../../support/held.ts';

describe('droplets', () => {
  let f: TestFoundation;
  const logged: string[] = [];
  before(async () => {
    f = await startTestFoundation({ log: new Logger('test', {}, (line) => logged.push(line), 'debug') });
  });
  after(() => f.close());

  it('an answer that breaks off is logged with its request, and nothing else breaks', async () => {
    const { developer, blobs, cc } = f;
    const app = await runningApp(f, 'broken-off');
    const droplet = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    const open = blobs.open.bind(blobs);
    blobs.open = async () => ({
      bytes: 100,
      body: Readable.from(
        (async function* () {
          yield Buffer.alloc(10);
          throw new Error('the disk went away');
        })(),
      ),
    });
    const before = logged.length;
    const response = await fetch(`${cc.url}/v3/droplets/${droplet}/download`, {
      headers: { authorization: `bearer ${developer.token}` },
    });
    await assert.rejects(response.arrayBuffer());
    blobs.open = open;
    const lines = await eventually(() => {
      const found = logged.slice(before).filter((line) => line.includes('an answer broke off'));
      return found.length > 0 ? found : null;
    });
    assert.equal(lines.length, 1);
    assert.equal(JSON.parse(lines[0] ?? '').requestId, response.headers.get('x-vcap-request-id'));
    assert.equal((await developer.get('/v3/apps')).status, 200);
  });

  it('an app keeps its current droplet and the five newest others; the rest is EXPIRED and its bits are gone', async () => {
    const app = await newApp(f, 'often-staged');
    const first = await stage(f, app);
    await f.developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: first } });
    const later: string[] = [];
    for (let count = 0; count < 7; count += 1) later.push(await stage(f, app));
    const stateOf = async (guid: string) => (await f.developer.get(`/v3/droplets/${guid}`)).body.state;
    assert.equal(await stateOf(first), 'STAGED');
    assert.deepEqual(await Promise.all(later.map(stateOf)), [
      ...Array<string>(2).fill('EXPIRED'),
      ...Array<string>(5).fill('STAGED'),
    ]);
    assert.ok(!f.blobs.held.has(`droplets/${later[0]}`) && f.blobs.held.has(`droplets/${first}`));
    const states = (await f.developer.get(`/v3/apps/${app}/packages?order_by=created_at`)).body.resources;
    // The current droplet's package stays, of the seven others five.
    const expected = ['READY', 'EXPIRED', 'EXPIRED', ...Array<string>(5).fill('READY')];
    assert.deepEqual(
      states.map(({ state }: { state: string }) => state),
      expected,
    );
  });

  it('a droplet that instances run is kept, though its app has another since it was asked to go', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'kept');
    const used = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    const droplet = await stage(f, app);
    const running = async (trx: Trx) => {
      await lockApp(trx, app);
      await trx
        .updateTable('processes')
        .set({ droplet_guid: guid<'droplet'>(droplet) })
        .where('app_guid', '=', app)
        .execute();
    };
    const deleted = async () => developer.finished(await developer.delete(`/v3/droplets/${droplet}`));
    await whileHeld(f.cc.db, running, deleted);
    assert.equal((await developer.get(`/v3/droplets/${droplet}`)).status, 200);
    assert.notEqual(droplet, used);
  });
});
