import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderCellProxyConfig } from '../../../src/cell/proxy/index.ts';
import { IDLE } from '../../../src/kit/haproxy.ts';
import { cellProxySettingsOf, routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { renderRouterConfig } from '../../../src/router/index.ts';
import { testSettings } from '../../support/settings.ts';

/** Seconds, by the direction they are of: "client", "server", "tunnel". */
type Timeouts = Record<string, number>;

const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600 };

/** What holds in each front and backend ("frontend public"), that of its defaults among it. */
function timeoutsOf(config: string): Map<string, Timeouts> {
  const sections = new Map<string, Timeouts>();
  let present: Timeouts = {};
  for (const line of config.split('\n')) {
    const [, kind, name, from] = /^(defaults|frontend|backend) (\S+)(?: from (\S+))?/.exec(line) ?? [];
    if (kind) {
      present = { ...sections.get(`defaults ${from}`) };
      sections.set(`${kind} ${name}`, present);
    }
    const [, what, amount, unit] = /^ {2}timeout (client|server|tunnel) (\d+)(ms|s|m|h)$/.exec(line) ?? [];
    if (what) present[what] = Number(amount) * UNITS[unit!]!;
  }
  return sections;
}

const layout = layoutOf(testSettings());
const proxy = cellProxySettingsOf(layout, 0, { uid: 1, gid: 1 }, 1_000);
const sections = new Map([
  ...timeoutsOf(renderRouterConfig({ ...routerSettingsOf(layout, 1_000), poolSize: 1 })),
  ...timeoutsOf(renderCellProxyConfig(proxy)),
]);
const of = (name: string): Timeouts => sections.get(name) ?? assert.fail(`there is no ${name}`);

/** Control, and what serves system hosts in its place. */
const SYSTEM = ['backend control', 'backend uaa', 'backend logs'];

test('a silent app is judged by the router’s pool, a silent API beside it, and a silent tunnel by both', () => {
  for (const judge of ['backend be-00000', ...SYSTEM]) {
    assert.deepEqual([of(judge).server, of(judge).tunnel], [IDLE.answer, IDLE.tunnel], judge);
  }
});

test('nothing on the way of a request, however it came, is as impatient as its judge', () => {
  const onTheWay = [
    ['frontend first-bytes', ['client']],
    ['backend tls', ['server', 'tunnel']],
    ['backend ssh', ['server', 'tunnel']],
    ['backend to-second-half', ['server', 'tunnel']],
    ['frontend one-request', ['client']],
    ['frontend cell', ['client']],
    ['backend container', ['server', 'tunnel']],
  ] as const;
  for (const [name, directions] of onTheWay) {
    for (const direction of directions) {
      const seconds = of(name)[direction] ?? 0;
      assert.ok(seconds > IDLE.answer && seconds > IDLE.tunnel, `${name}: timeout ${direction} ${seconds}s`);
    }
  }
  const known = [...onTheWay.map(([name]) => name), 'frontend public', ...SYSTEM, 'frontend unreachable'];
  const carries = (name: string): boolean => !name.startsWith('defaults ') && !/^backend (be-|certificates)/.test(name);
  const tables = [
    ...['clients', 'spoken', 'control-requests', 'containers', 'containers-requests', 'containers-control'],
    ...['turns', 'under-way'],
  ];
  const others = [...sections.keys()].filter((name) => carries(name) && !known.includes(name));
  assert.deepEqual(
    others.filter((name) => !tables.includes(name.replace('backend ', '')) && !name.includes('attempts')),
    [],
    'a front or backend that this test does not know',
  );
});

test('a silent client is judged by the front it comes to', () => {
  assert.ok(of('frontend public').client! < of('frontend one-request').client!);
});
