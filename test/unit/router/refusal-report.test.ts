import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { OwnerSchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { RefusalReport } from '../../../src/router/refusal-report.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';

let opened: RefusalReport[] = [];
afterEach(async () => {
  for (const report of opened) await report.close();
  opened = [];
});

function reporting(mostBytes?: number) {
  const { control, ingress } = fakeControl();
  const said: { message: string; count?: number }[] = [];
  const log = new Logger('test', {}, (text) => said.push(JSON.parse(text)));
  const report = new RefusalReport(ingress, '0', log, { mostBytes });
  opened.push(report);
  return { control, report, said: (message: string) => said.filter((one) => one.message === message) };
}

const refusal = (text: string, ...apps: string[]) => ({
  text,
  owners: apps.map((appGuid) => create(OwnerSchema, { appGuid })),
});

test('each app reads once why its route is not served, and again when that comes back', async () => {
  const { control, report, said } = reporting();
  const [one, other] = [refusal('route a', 'app-1', 'app-2'), refusal('route b', 'app-1')];
  report.report([one]);
  report.report([one, other]);
  await eventually('three lines', () => control.lines('RTR').length === 3);
  report.report([other]);
  report.report([one, other]);
  await eventually('two more', () => control.lines('RTR').length === 5);
  assert.deepEqual(
    control.envelopes.map(({ sourceId }, at) => `${sourceId}: ${control.lines()[at]}`),
    [
      'app-1: Not routed: route a',
      'app-2: Not routed: route a',
      'app-1: Not routed: route b',
      'app-1: Not routed: route a',
      'app-2: Not routed: route a',
    ],
  );
  assert.equal(said('not routed').length, 3);
});

test('while the log cache is away the lines wait; those beyond the room are told at a later call, and none is lost', async () => {
  const { control, report, said } = reporting(3_000);
  const all = Array.from({ length: 50 }, (_, at) => refusal(`route ${at}`, 'app'));
  control.away = true;
  report.report(all);
  report.report(all);
  control.away = false;
  await eventually('the first lines', () => control.lines().length > 0);
  const first = control.lines().length;
  assert.ok(first >= 5 && first <= 10, `as many as there was room for: ${first}`);
  for (let turn = 0; control.lines().length < 50; turn++) {
    assert.ok(turn < 100, `${control.lines().length} lines`);
    report.report(all);
    await new Promise((wake) => setTimeout(wake, 20));
  }
  assert.deepEqual(
    control.lines(),
    all.map(({ text }) => `Not routed: ${text}`),
  );
  assert.deepEqual(said('envelopes were left out'), []);
});
