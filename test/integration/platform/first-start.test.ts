import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ensureEngineImage } from '../../../src/platform/engines/image/image.ts';
import { type Layout, layoutOf } from '../../../src/platform/layout.ts';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';
import { ENGINES } from '../../support/haproxy.ts';
import { ROOT } from '../../support/platform.ts';
import { silentLog } from '../../support/postgresql.ts';
import { testSettings } from '../../support/settings.ts';

describe('a supervisor that starts', { skip: NETWORK_SKIP }, () => {
  let data: string;
  let layout: Layout;
  let engines: string;
  before(async () => {
    data = mkdtempSync('/tmp/cupola-start-');
    layout = layoutOf(testSettings({ id: 'zzs', dataDirectory: data, overlay: '10.232', gateway: '169.254.232.7' }));
    writeFileSync(join(data, 'settings.json'), JSON.stringify(layout.settings));
    engines = (await ensureEngineImage({ directory: layout.engines, cache: ENGINES, log: silentLog })).root;
  });
  after(() => {
    for (const directory of [data, layout.run]) rmSync(directory, { recursive: true, force: true });
    rmSync('/run/cupola-zzs.lock', { force: true });
  });

  test('SECURITY 33: has closed the ranges of its containers before it starts a router or a proxy', async () => {
    // In place of HAProxy, the machine's and the image's: what is closed when it starts. The image has no program that shows routes.
    const says = `
      while read -r way to _ flags _ _ _ mask _; do
        [ "$way $to $flags $mask" = "* 0000E80A 0201 00FFFFFF" ] && closed="unreachable 10.232.0.0/24"
      done </proc/net/route`;
    const seen = (await inEmptyNetwork(`
      import { spawn, spawnSync } from 'node:child_process';
      import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
      import { setTimeout as pause } from 'node:timers/promises';
      const seen = mkdtempSync('/tmp/cupola-seen-');
      chmodSync(seen, 0o777);
      writeFileSync(seen + '.sh', '#!/bin/sh' + ${JSON.stringify(says)} + '\\necho "$closed $*" > ' + seen + '/$$.new && mv ' + seen + '/$$.new ' + seen + '/$$\\nexit 1\\n');
      chmodSync(seen + '.sh', 0o755);
      rmSync(${JSON.stringify(join(engines, 'usr/sbin/haproxy'))});
      writeFileSync(${JSON.stringify(join(engines, 'usr/sbin/haproxy'))}, readFileSync(seen + '.sh'), { mode: 0o755 });
      execute('mount', '--bind', seen + '.sh', execute('sh', '-c', 'readlink -f "$(command -v haproxy)"').trim());
      const child = spawn(process.execPath, [${source('platform/supervisor-main.ts')}, ${JSON.stringify(data)}], { stdio: ['ignore', 'ignore', 'ignore'] });
      const whole = () => readdirSync(seen).filter((name) => !name.endsWith('.new'));
      const told = () => whole().map((name) => readFileSync(seen + '/' + name, 'utf8')).filter((text) => text.includes('haproxy.cfg'));
      const both = () => ['/router/', '/cell-0-proxy/'].every((name) => told().some((text) => text.includes(name)));
      for (const deadline = Date.now() + 30_000; !both() && child.exitCode === null && Date.now() < deadline; ) await pause(50);
      const first = told();
      const destroyed = spawnSync(${JSON.stringify(join(ROOT, 'cupola'))}, ['destroy', '--yes', '--data', ${JSON.stringify(data)}], { encoding: 'utf8' });
      rmSync(seen, { recursive: true });
      rmSync(seen + '.sh');
      console.log(JSON.stringify({ first, destroyed: destroyed.stdout + destroyed.stderr, both: both.length }));
      process.exit();`)) as { first: string[]; destroyed: string };
    assert.ok(seen.first.length >= 2, JSON.stringify(seen));
    for (const one of seen.first) assert.match(one, /^unreachable 10\.232\.0\.0\/24 /);
    assert.match(seen.destroyed, /^removed /);
  });
});
