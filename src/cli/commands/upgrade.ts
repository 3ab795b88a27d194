import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { refreshUnit } from '../../platform/host/systemd.ts';
import { layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { command, JSON_FLAG } from '../command.ts';
import { installation, say } from '../options.ts';
import { Progress } from '../progress.ts';
import { upgradePlatform } from '../up/upgrade.ts';
import { unitOptionsOf } from './install.ts';

export const upgrade = command({
  flags: JSON_FLAG,
  about: [
    'Processes are replaced one after another, and apps go on serving. Where the new code does not come up, the former goes on.',
  ],
  async run({ values }) {
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'upgrade');
    const layout = layoutOf(settings);
    const log = new Logger('upgrade', {}, (line) =>
      appendFileSync(join(layout.logs, 'upgrade.log'), line, { mode: 0o600 }),
    );
    const began = Date.now();
    const { replaced } = await upgradePlatform({ layout, log, progress: new Progress(7, !values.json) });
    await refreshUnit(unitOptionsOf(settings));
    const seconds = Math.round((Date.now() - began) / 100) / 10;
    if (values.json) say(JSON.stringify({ replaced, seconds }));
    else if (replaced.length === 0) say('it runs this code already');
    else say(`upgraded in ${seconds} s; replaced: ${replaced.join(', ')}`);
    return 0;
  },
});
