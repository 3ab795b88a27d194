import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually } from '../../support/fake-control.ts';
import {
  app,
  closeCell,
  control,
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

const sidecars = [
  { name: 'proxy', command: `./proxy --token ${SECRET}`, memoryMb: 64 },
  { name: 'agent', command: './agent', memoryMb: 0 },
];
const lastCrash = () => control.control.calls.findLast(({ what }) => what === 'crash')?.lrp.crashReason;

test('sidecars start beside the app, with their share of the memory, and log under their own names', async () => {
  const guid = await running({
    sidecars,
    environment: [{ name: 'VCAP_APPLICATION', value: '{"limits":{"mem":256}}' }],
  });
  const of = (id: string) => garden.pretend.app(guid, id);
  assert.deepEqual(of('sidecar-0').spec.args.slice(1), ['/home/vcap/app', sidecars[0]!.command]);
  assert.equal(of('app').spec.environment['MEMORY_LIMIT'], '192m');
  assert.equal(of('sidecar-0').spec.environment['MEMORY_LIMIT'], '64m');
  assert.equal(of('sidecar-1').spec.environment['MEMORY_LIMIT'], '256m');
  assert.equal(JSON.parse(of('app').spec.environment['VCAP_APPLICATION']!).limits.mem, 192);
  assert.equal(of('sidecar-0').spec.environment['PORT'], String(port));
  assert.equal(garden.pretend.containers.get(guid)!.spec.limits.memoryBytes, 256 * 1024 * 1024);
  of('sidecar-0').write('a line of the proxy');
  of('app').write('a line of the app');
  await eventually('its line arrives', () => control.control.lines('APP/PROC/WEB/SIDECAR/PROXY').length === 1);
  await eventually('the line of the app', () => control.control.lines('APP/PROC/WEB').includes('a line of the app'));
});

test('an instance crashes when a sidecar ends, whatever its status, and its container goes', async () => {
  const guid = await running({ sidecars });
  garden.pretend.app(guid, 'sidecar-0').end(0);
  await eventually('the crash is reported', () => lastCrash() !== undefined);
  assert.equal(lastCrash(), 'APP/PROC/WEB/SIDECAR/PROXY: Exited with status 0');
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  await eventually('the line about its end arrives', () =>
    control.control.lines('APP/PROC/WEB/SIDECAR/PROXY').includes('Exit status 0'),
  );
});

test('a stop asks the app and its sidecars to end', async () => {
  const guid = await running({ sidecars });
  const processes = ['app', 'sidecar-0', 'sidecar-1'].map((id) => garden.pretend.app(guid, id));
  await rep().stopLrp({ processGuid: 'process-1', index: 0, instanceGuid: guid });
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(
    processes.map(({ signals }) => signals),
    [['SIGTERM'], ['SIGTERM'], ['SIGTERM']],
  );
});

test('a new cell process watches sidecars that run, and their commands are kept nowhere', async () => {
  const guid = await running({ sidecars });
  assert.ok(!JSON.stringify(garden.pretend.containers.get(guid)!.spec.properties).includes(SECRET));
  await closeCell();
  await openCell();
  garden.pretend.app(guid, 'sidecar-1').end(5);
  await eventually('its end is noticed', () => lastCrash() === 'APP/PROC/WEB/SIDECAR/AGENT: Exited with status 5');
});

test('an instance whose sidecars were not all started when the cell ended is begun anew', async () => {
  const guid = await running({ sidecars });
  garden.pretend.containers.get(guid)!.started.delete('sidecar-1');
  await closeCell();
  await openCell();
  await eventually('it is stopped', () => control.control.reports(guid).includes('remove'));
});

test('an instance that is not ready runs on without requests and gets them when it is ready', async () => {
  app.ready = false;
  const readinessHealthCheck = { type: 'http', httpEndpoint: '/ready', intervalSeconds: 1 };
  const guid = await running({ readinessHealthCheck });
  const said = () =>
    control.control.calls
      .filter(({ what, lrp }) => what === 'start' && lrp.instanceGuid === guid)
      .map(({ lrp }) => lrp.routable);
  assert.deepEqual(said(), [false]);
  assert.ok(proxied.has(guid), 'the proxy knows it; the router is told by the registry');
  app.ready = true;
  await eventually('it is ready', () => said().length === 2);
  app.ready = false;
  await eventually('it is not ready again', () => said().length === 3);
  assert.deepEqual(said(), [false, true, false]);
  assert.ok(garden.pretend.containers.has(guid));
  assert.equal(lastCrash(), undefined);
  const lines = () => control.control.lines('CELL').filter((line) => line.includes('readiness health check'));
  await eventually('the developer is told', () => lines().length === 3);
  assert.match(lines()[0]!, /failed/);
  assert.match(control.control.lines('HEALTH')[0]!, /status code 500/);
  assert.match(lines()[1]!, /passed/);
});

test('without a readiness check, or with "process", what runs is ready', async () => {
  const guid = await running({ readinessHealthCheck: { type: 'process' } });
  const start = control.control.calls.find(({ what, lrp }) => what === 'start' && lrp.instanceGuid === guid);
  assert.equal(start?.lrp.routable, true);
});

test('a new cell process says again whether an instance is ready', async () => {
  const guid = await running({ readinessHealthCheck: { type: 'http', httpEndpoint: '/ready' } });
  await closeCell();
  app.ready = false;
  await openCell();
  await eventually('it is said', () => control.control.lrps.get(guid)?.routable === false);
});

test('lines of a task beyond its log rate limit are left out, and it is told once', async () => {
  const task = create(TaskSchema, {
    taskGuid: 'task-1',
    domain: 'cf-tasks',
    stack: 'debian12',
    memoryMb: 64,
    owner: { appGuid: 'app-1', processType: 'migrate' },
    logRateLimitBytesPerSecond: 100,
    work: { case: 'command', value: { command: './migrate', droplet: lrp().droplet! } },
  });
  await rep().perform({ tasks: [task] });
  await eventually('it runs', () => garden.pretend.containers.get('task-1')?.started.has('task') === true);
  const process = garden.pretend.app('task-1', 'task');
  for (let i = 0; i < 20; i++) process.write(`line ${i} ${'x'.repeat(40)}`);
  const lines = () => control.control.lines('APP/TASK/migrate');
  await eventually('it is told', () => lines().some((line) => line.includes('exceeded log rate limit')));
  assert.equal(lines().filter((line) => line.startsWith('line ')).length, 2);
  process.end(0);
  await eventually('it is reported', () => control.control.completed.length === 1);
});
