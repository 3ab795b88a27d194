import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { renderUnit, unitName } from '../../../src/platform/host/systemd.ts';
import { installationId } from '../../../src/platform/layout.ts';
import { testSettings } from '../../support/settings.ts';

const NO_VERIFY = existsSync('/usr/bin/systemd-analyze') ? false : 'there is no systemd-analyze';
const unit = (dataDirectory: string) =>
  renderUnit({
    settings: testSettings({ dataDirectory }),
    node: process.execPath,
    main: join(import.meta.dirname, '../../../src/platform/supervisor-main.ts'),
    logFile: `${dataDirectory}/logs/supervisor.log`,
  });

test('the unit ends the supervisor alone, restarts it when it dies, and leaves it down after `cupola down`', () => {
  const text = unit('/var/lib/cupola');
  for (const line of [
    'KillMode=process',
    'SendSIGKILL=no',
    'Delegate=yes',
    'Restart=on-failure',
    'NoNewPrivileges=yes',
    'WantedBy=multi-user.target',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.match(text, /^ExecStart=\S+ \S+\/supervisor-main\.ts \/var\/lib\/cupola$/m);
});

test('nothing in the unit gives the supervisor mounts of its own: containers stand on the machine’s', () => {
  const ownNamespace =
    /^(Private\w+|Protect(System|Home|KernelTunables|KernelModules|KernelLogs|ControlGroups|Proc|Clock|Hostname)|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|BindPaths|TemporaryFileSystem|RootDirectory|MountFlags|DynamicUser|StateDirectory|RestrictNamespaces|RestrictSUIDSGID)=/m;
  assert.doesNotMatch(unit('/var/lib/cupola'), ownNamespace);
});

test('each installation has a unit of its own', () => {
  assert.equal(unitName(testSettings({ id: installationId('/var/lib/cupola') })), 'cupola.service');
  assert.equal(unitName(testSettings({ id: 'xyz' })), 'cupola-xyz.service');
});

test('systemd understands the unit, also with spaces, percent and dollar signs in the path', {
  skip: NO_VERIFY,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-unit-'));
  try {
    for (const [index, data] of ['/var/lib/cupola', '/srv/my data/100% of $HOME'].entries()) {
      const file = join(directory, `cupola-test${index}.service`);
      writeFileSync(file, unit(data));
      let said = '';
      await run('systemd-analyze', ['verify', file], { onOutput: (text) => (said += text) });
      assert.equal(said, '', 'no complaint');
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
