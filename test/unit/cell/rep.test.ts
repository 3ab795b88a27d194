import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { onAbort } from '../../../src/kit/abort.ts';
import { tar } from '../../support/archives.ts';
import { eventually } from '../../support/fake-control.ts';
import { configOf, digestOf, hostileRegistry, manifestOf } from '../../support/registry.ts';
import {
  closeCell,
  control,
  directory,
  eachTestHasACell,
  garden,
  lrp,
  openCell,
  port,
  proxied,
  rep,
  running,
  SECRET,
} from '../../support/rep-cell.ts';

eachTestHasACell();

test('a start is claimed, made, found well, registered and reported, in this order (DGO-01)', async () => {
  const guid = await running();
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
  const started = control.control.calls[1]!.lrp;
  assert.equal(started.hostAddress, '10.0.0.1');
  assert.deepEqual(
    started.ports.map(({ containerPort, hostTlsProxyPort }) => [containerPort, hostTlsProxyPort]),
    [[port, 61443]],
  );
  assert.equal(proxied.get(guid)?.port, port);
  const { environment, user } = garden.pretend.app(guid).spec;
  assert.equal(user, 'vcap');
  assert.equal(environment['PORT'], String(port));
  assert.equal(environment['CF_INSTANCE_INDEX'], '0');
  assert.equal(environment['CF_INSTANCE_GUID'], guid);
  assert.equal(environment['MEMORY_LIMIT'], '256m');
  assert.equal(environment['PASSWORD'], SECRET);
  await eventually('CELL lines arrive', () => control.control.lines('CELL').includes('Container became healthy'));
  assert.deepEqual(control.control.lines('CELL'), [
    'Downloaded droplet (9B)',
    `Cell cell-1 creating container for instance ${guid}`,
    `Cell cell-1 successfully created container for instance ${guid}`,
    'Starting health monitoring of container',
    'Container became healthy',
  ]);
});

test('what is kept beside a container for adoption holds no secret', async () => {
  const guid = await running();
  assert.ok(!JSON.stringify(garden.pretend.containers.get(guid)!.spec.properties).includes(SECRET));
});

test('work that does not fit is given back, and what is booked shows at once', async () => {
  const answer = await rep().perform({
    lrpStarts: [0, 1, 2, 3, 4].map((index) => ({ desiredLrp: lrp(), index })),
    tasks: [create(TaskSchema, { taskGuid: 't', stack: 'windows', memoryMb: 1 })],
  });
  assert.deepEqual(
    answer.lrpStarts.map(({ index }) => index),
    [4],
  );
  assert.equal(answer.tasks.length, 1);
  const state = await rep().state({});
  assert.equal(state.availableMemoryMb, 0);
  assert.equal(state.availableContainers, 6);
  assert.equal(state.lrps.length, 4);
});

test('an instance somebody else claimed is dropped without a container', async () => {
  control.control.refuses.add('claim');
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  await eventually('its room is free again', async () => (await rep().state({})).availableMemoryMb === 1024);
  assert.deepEqual(control.control.reports(), []);
  assert.ok([...garden.pretend.containers.values()].every(({ properties }) => properties['cupola.kind'] === 'trust'));
});

test('an app that exits is reported with its status and its container goes (DGO-03)', async () => {
  const guid = await running();
  garden.pretend.app(guid).end(3);
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'APP/PROC/WEB: Exited with status 3');
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.equal(proxied.size, 0);
  await eventually('room is free', async () => (await rep().state({})).availableMemoryMb === 1024);
  await eventually('the exit line arrives', () => control.control.lines('APP/PROC/WEB').includes('Exit status 3'));
  assert.equal(readdirSync(join(directory, 'run/credentials')).length, 0);
});

test('an app killed for its memory is reported so', async () => {
  const guid = await running();
  garden.pretend.app(guid).end(137, true);
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'APP/PROC/WEB: Exited with status 137 (out of memory)');
});

test('an app that never listens crashes when its start-up time is over, and its log says why', async () => {
  await rep().perform({
    lrpStarts: [{ desiredLrp: lrp({ ports: [9], healthCheck: { type: 'port', timeoutSeconds: 1 } }), index: 0 }],
  });
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.match(
    control.control.calls.at(-1)!.lrp.crashReason,
    /^Instance never healthy after 1(\.\d)?s: Failed to make TCP connection to 127\.0\.0\.1:9: connection refused$/,
  );
  await eventually('its line arrives', () => control.control.lines('HEALTH').length > 0);
  assert.deepEqual(control.control.lines('HEALTH'), [
    'Failed to make TCP connection to 127.0.0.1:9: connection refused',
  ]);
});

test('an http health check wants status 200, and a running instance that fails it crashes', async () => {
  const guid = await running({ healthCheck: { type: 'http', httpEndpoint: '/well', intervalSeconds: 1 } });
  assert.ok(proxied.has(guid));
  await rep().perform({
    lrpStarts: [
      { desiredLrp: lrp({ healthCheck: { type: 'http', httpEndpoint: '/ill', timeoutSeconds: 1 } }), index: 1 },
    ],
  });
  await eventually('the ill one crashes', () => control.control.reports().includes('crash'));
  assert.match(control.control.calls.at(-1)!.lrp.crashReason, /received status code 500/);
});

test('a stop is reported before the app hears of it, and SIGTERM comes before SIGKILL', async () => {
  const guid = await running();
  garden.pretend.onTerm = null;
  const process = garden.pretend.app(guid);
  await rep().stopLrp({ processGuid: 'process-1', index: 0, instanceGuid: guid });
  await eventually('the removal is reported', () => control.control.reports().includes('remove'));
  assert.deepEqual(process.signals, []);
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(process.signals, ['SIGTERM', 'SIGKILL']);
  assert.deepEqual(control.control.reports(), ['claim', 'start', 'remove']);
});

test('while control is away apps run on, and what happened is reported when it is back', async () => {
  const guid = await running();
  control.control.away = true;
  garden.pretend.app(guid).end(1);
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
  control.control.away = false;
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
});

test('a new cell process takes over what runs and goes on watching it', async () => {
  const guid = await running();
  await closeCell();
  assert.ok(garden.pretend.containers.has(guid), 'closing leaves the app alone');
  proxied.clear();
  await openCell();
  assert.equal((await rep().state({})).availableMemoryMb, 768);
  await eventually('it is registered again', () => proxied.has(guid));
  garden.pretend.app(guid).end(7);
  await eventually('its end is noticed', () => control.control.reports().includes('crash'));
  assert.ok(!control.control.reports().includes('remove'));
});

test('an instance the registry has and the cell has not is removed there, so that it starts anew (DGO-03)', async () => {
  await control.registry.claimActualLrp({
    processGuid: 'p',
    instanceGuid: 'ghost',
    state: 'CLAIMED',
    cellId: 'cell-1',
  });
  await eventually('it is removed', () => control.control.reports('ghost').includes('remove'));
});

test('an instance that the registry asks for once more is reported again, for it does not know of it', async () => {
  await closeCell();
  await openCell({ reconcileMs: 600_000 });
  const guid = await running();
  control.control.lrps.clear();
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  await eventually('it is reported', () => control.control.lrps.has(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start', 'start']);
});

test('a cell that is there before control compares as soon as that answers', async () => {
  await closeCell();
  await control.registry.claimActualLrp({
    processGuid: 'p',
    instanceGuid: 'ghost',
    state: 'CLAIMED',
    cellId: 'cell-1',
  });
  control.control.away = true;
  await openCell({ reconcileMs: 600_000 });
  await delay(60); // it tried
  control.control.away = false;
  await eventually('it is removed', () => control.control.reports('ghost').includes('remove'));
});

test('an instance whose place somebody else took is stopped without a report', async () => {
  const guid = await running();
  control.control.refuses.add('start');
  control.control.lrps.clear();
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
});

test('a droplet that is not what its digest says is never run', async () => {
  const sha256 = 'f'.repeat(64);
  await rep().perform({
    lrpStarts: [{ desiredLrp: lrp({ droplet: { url: 'https://control/d', sha256 } }), index: 0 }],
  });
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'Downloading the droplet failed');
  assert.ok(!garden.pretend.layers.has(sha256));
});

test('the cell says every few seconds that it is there', async () => {
  await eventually('heartbeats come', () => control.control.heartbeats > 2);
});

test('DGO-04: a cell that was taken for lost compares at its first heartbeat and stops what others have by now', async () => {
  await closeCell();
  await openCell({ reconcileMs: 600_000 });
  const guid = await running();
  const command = { case: 'command' as const, value: { command: 'sleep', droplet: lrp().droplet! } };
  await rep().perform({
    tasks: [create(TaskSchema, { taskGuid: 'task-1', stack: 'debian12', memoryMb: 64, work: command })],
  });
  await eventually('the task runs', async () => garden.pretend.containers.has('task-1'));
  control.control.lrps.clear(); // another cell has the instance, and the task was given up
  control.control.tasks.clear();
  control.control.refuses.add('start');
  control.control.returned = true;
  await eventually('nothing is left', async () => (await rep().state({})).availableMemoryMb === 1024);
  assert.ok(!garden.pretend.containers.has(guid) && !garden.pretend.containers.has('task-1'));
  assert.ok(!control.control.reports(guid).includes('crash'));
});

test('SECURITY 32: an instance that is stopped while its droplet is unpacked gives its room back at once', async () => {
  const wanted = await unpackingAfter(() => rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] }));
  const { instanceGuid } = (await rep().state({})).lrps[0]!;
  await rep().stopLrp({ processGuid: 'process-1', index: 0, instanceGuid });
  await isGivenUp(wanted);
});

test('SECURITY 32: a task that is cancelled while its droplet is unpacked gives its room back at once', async () => {
  const { droplet, memoryMb, diskMb, stack } = lrp();
  const work = { case: 'command', value: { command: 'true', droplet } } as const;
  const task = create(TaskSchema, { taskGuid: 't', memoryMb, diskMb, stack, work });
  const wanted = await unpackingAfter(() => rep().perform({ tasks: [task] }));
  await rep().cancelTask({ taskGuid: 't' });
  await isGivenUp(wanted);
});

test('SECURITY 32: an instance that another cell has, or whose cell process ends, wants its droplet no more', async () => {
  const start = () => rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  control.control.refuses.add('claim');
  const asked = unpacking();
  await start();
  await isGivenUp(await asked);
  control.control.refuses.clear();
  const wanted = await unpackingAfter(start);
  await closeCell();
  assert.equal(wanted.aborted, true);
});

test('SECURITY 25: a start holds its layers until its container is there, and no longer', async () => {
  const held: boolean[] = [];
  garden.pretend.beforeCreate = async () => {
    const wanted = garden.pretend.wanted.get(lrp().droplet!.sha256);
    if (wanted) held.push(wanted.signal?.aborted === false);
  };
  await running();
  assert.ok(held.length > 0 && held.every(Boolean));
  assert.equal(garden.pretend.wanted.get(lrp().droplet!.sha256)?.signal?.aborted, true);
});

test('SECURITY 32: a droplet and the layers of an image are unpacked within what their app may use', async () => {
  const MIB = 1024 ** 2;
  const layer = tar([{ name: 'x', content: 'x' }]);
  const config = configOf([layer]);
  const manifest = manifestOf(config, [{ digest: digestOf(layer), size: layer.length }]);
  const registry = await hostileRegistry((path) => {
    if (path.includes('/manifests/')) return manifest;
    return path.endsWith(digestOf(config)) ? config : layer;
  });
  const droplet = lrp().droplet!;
  const dockerImage = { reference: `${registry.host}/app@${digestOf(manifest)}` };
  const image = `image:${digestOf(layer)}`;
  try {
    for (const [memoryMb, bookedMb, diskMb] of [
      [300, 300, 2048],
      [16, 128, 64],
    ] as const) {
      const each = { memoryBytes: bookedMb * MIB, cpuShares: bookedMb };
      const third = { memoryBytes: Math.floor((bookedMb * MIB) / 3), cpuShares: Math.floor(bookedMb / 3) };
      for (const [key, content, limits] of [
        [droplet.sha256, { droplet }, { ...each, diskBytes: diskMb * MIB }],
        [image, { dockerImage }, third],
      ] as const) {
        const task = { taskGuid: `${memoryMb}-${key}`, memoryMb, diskMb, stack: 'debian12' };
        for (const work of [
          { lrpStarts: [{ desiredLrp: lrp({ memoryMb, diskMb, droplet: undefined, ...content }), index: 0 }] },
          {
            tasks: [create(TaskSchema, { ...task, work: { case: 'command', value: { command: 'true', ...content } } })],
          },
        ]) {
          garden.pretend.wanted.clear();
          await rep().perform(work);
          await eventually('its layer is asked for', () => garden.pretend.wanted.has(key));
          assert.deepEqual(garden.pretend.wanted.get(key)?.limits, limits);
          await closeCell();
          garden.pretend.containers.clear();
          await openCell();
        }
      }
    }
  } finally {
    await registry.stop();
  }
});

/** Until when the layer is wanted that is unpacked next, and never done. */
function unpacking(): Promise<AbortSignal> {
  const asked = Promise.withResolvers<AbortSignal>();
  garden.pretend.beforeLayer = (signal) => {
    assert.ok(signal);
    asked.resolve(signal);
    return new Promise((_resolve, reject) => onAbort(signal, () => reject(signal.reason)));
  };
  return asked.promise;
}

/** Until when the layer is wanted that is unpacked, and never done, once work has begun. */
async function unpackingAfter(begin: () => Promise<unknown>): Promise<AbortSignal> {
  const asked = unpacking();
  await begin();
  const wanted = await asked;
  assert.deepEqual([(await rep().state({})).availableMemoryMb, wanted.aborted], [1024 - 256, false]);
  return wanted;
}

async function isGivenUp(wanted: AbortSignal): Promise<void> {
  await eventually('its room is free', async () => (await rep().state({})).availableMemoryMb === 1024);
  assert.equal(wanted.aborted, true);
}
