import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Logger } from '../../../src/kit/log.ts';
import { HaproxyDriver } from '../../../src/router/haproxy-driver.ts';
import { backendName, NO_ENDPOINTS, REPEAT_SERVER, type RouterSettings } from '../../../src/router/settings.ts';

const SLOT = backendName(0);

const server = (guid: string, port: number) => ({
  ...{ instanceGuid: guid, index: 0, address: '10.0.0.1', port, http2: false },
  ...{ appGuid: guid, processGuid: guid },
});
const there = (name: string, port: number) => ({
  backend: SLOT,
  name,
  address: '10.0.0.1',
  port,
  inMaintenance: false,
});

/** Which HAProxy answers; another one each time where it ends. */
let processes = ['one'];

/** What HAProxy is told, where the slot 0 has these servers and is to have `bob`'s, one list after the other. */
async function told(present: ReturnType<typeof there>[], ...wanted: ReturnType<typeof server>[][]): Promise<string[]> {
  const lines: string[] = [];
  let looks = 0;
  const socket = {
    process: async () => processes[Math.min(looks, processes.length) - 1],
    servers: async () => present,
    tell: async (command: string) => void lines.push(command),
    ask: async (command: string) => {
      lines.push(command);
      return 'Server deleted.';
    },
    replaceMap: async (path: string, entries: Map<string, string>) => {
      if (path.endsWith('routes.map')) lines.push(`routes ${JSON.stringify([...entries])}`);
    },
  };
  const settings = { poolSize: 4, mapsDirectory: '/m', certificates: {} } as unknown as RouterSettings;
  const driver = new HaproxyDriver(settings, socket as never, new Logger('test', {}, () => {}));
  for (const servers of wanted) {
    const pools = [{ slot: 0, key: 'bob', servers }];
    looks += 1;
    await driver.converge({ pools, routes: new Map([['bob.example.org/', 0]]) } as never, await driver.look());
  }
  return lines;
}

test('SECURITY-TESTS 7: a slot that has somebody else’s servers leads nowhere, and has none that answers, before it gets its own', async () => {
  const lines = await told([there('alice-1', 60001)], [server('bob-1', 60002)]);
  const places = [
    `routes [["bob.example.org/","${NO_ENDPOINTS}"]]`,
    `set server ${SLOT}/alice-1 state maint`,
    `add server ${SLOT}/bob-1`,
    `routes [["bob.example.org/","${SLOT}"]]`,
  ].map((begin) => lines.findIndex((line) => line.startsWith(begin)));
  assert.ok(
    places.every((place, at) => place > (places[at - 1] ?? -1)),
    lines.join('\n'),
  );
});

test('a slot that keeps one of its servers serves all the while', async () => {
  const lines = await told(
    [there('bob-1', 60001), there('bob-0', 60000)],
    [server('bob-1', 60001), server('bob-2', 60002)],
  );
  assert.ok(!lines.some((line) => line.includes(NO_ENDPOINTS)), lines.join('\n'));
  assert.ok(
    lines.findIndex((line) => line.startsWith(`add server ${SLOT}/bob-2`)) <
      lines.findIndex((line) => line.includes(`${SLOT}/bob-0`)),
  );
});

test('a slot whose servers are all new leads to them, where it is known whose it is', async () => {
  const lines = await told([there('bob-1', 60001)], [server('bob-1', 60001)], [server('bob-2', 60002)]);
  assert.deepEqual(
    lines.filter((line) => line.startsWith('routes')),
    [`routes [["bob.example.org/","${SLOT}"]]`],
  );
});

test('a HAProxy that begins as the instances of an app change leads to them all the while', async () => {
  const own = (guid: string, port: number) => ({ ...server(guid, port), appGuid: 'bob' });
  processes = ['one', 'two'];
  const lines = await told([there('bob-1', 60001)], [own('bob-1', 60001)], [own('bob-2', 60002)]);
  processes = ['one'];
  assert.ok(!lines.some((line) => line.includes(NO_ENDPOINTS)), lines.join('\n'));
});

test('a HAProxy that leads to instances at once gets servers that are not balanced, whatever control was started with', async () => {
  const added = async (present: ReturnType<typeof there>[]) => {
    const lines = await told(present, [server('bob-1', 60002)]);
    assert.ok(!lines.some((line) => line.includes(REPEAT_SERVER)), lines.join('\n'));
    return lines.find((line) => line.startsWith(`add server ${SLOT}/bob-1`))!;
  };
  assert.match(await added([{ ...there(REPEAT_SERVER, 0), address: '' }]), / weight 0;/);
  assert.doesNotMatch(await added([]), /weight/);
});
