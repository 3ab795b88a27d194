import { CupolaError } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import { run } from '../../kit/process.ts';
import { PROJECT } from '../../kit/project.js';
import { hasSystemd, installUnit, renderUnit, type UnitOptions, uninstallUnit } from '../../platform/host/systemd.ts';
import { layoutOf } from '../../platform/layout.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { askSupervisor, supervisorAnswers } from '../../platform/supervisor-client.ts';
import { command, JSON_FLAG } from '../command.ts';
import { answer, installation } from '../options.ts';
import { logFileOf, supervisorMain } from '../up/start.ts';

export const install = command({
  flags: { print: { type: 'boolean', help: 'show the unit and change nothing' }, ...JSON_FLAG },
  async run({ values }) {
    const settings = installation(values.data);
    const options = unitOptionsOf(settings);
    if (values.print) {
      answer(values.json, { unit: renderUnit(options) }, renderUnit(options).trimEnd());
      return 0;
    }
    if (!hasSystemd()) {
      throw new CupolaError('no_systemd', 'systemd does not run this machine; install --print shows the unit');
    }
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'install');
    const name = await installUnit(options);
    // A supervisor that `up` started makes room; what it watches goes on, and the unit's adopts it.
    const layout = layoutOf(settings);
    const runs = await supervisorAnswers(layout);
    if (runs) await askSupervisor(layout, 'POST /leave');
    if (runs) await run('systemctl', ['start', name]);
    const next = runs ? ' and has taken it over' : `; systemctl start ${name} starts it now`;
    answer(values.json, { unit: name, tookOver: runs }, `${name} starts the platform at boot${next}`);
    return 0;
  },
});

export const uninstall = command({
  flags: JSON_FLAG,
  async run({ values }) {
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'uninstall');
    const removed = await uninstallUnit(settings);
    answer(values.json, { removed }, removed ? 'the unit is gone; what runs goes on' : 'there was no unit');
    return 0;
  },
});

/** The unit of an installation with the code of this checkout. */
export function unitOptionsOf(settings: PlatformSettings): UnitOptions {
  const logFile = logFileOf(layoutOf(settings));
  return { settings, node: process.execPath, main: supervisorMain(PROJECT), logFile };
}
