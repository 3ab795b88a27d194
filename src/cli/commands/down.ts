import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { endRemains } from '../../platform/teardown.ts';
import { command, JSON_FLAG } from '../command.ts';
import { answer, installation } from '../options.ts';
import { stopForGood } from '../stopping.ts';

export const down = command({
  flags: JSON_FLAG,
  about: ['./cupola up starts it again, and its apps with it.'],
  async run({ values }) {
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'down');
    const layout = layoutOf(settings);
    using stopped = await stopForGood(layout, 'down');
    // What a supervisor left that was killed, or could not start.
    const log = new Logger('down', {}, (line) => process.stderr.write(line), 'warn');
    const ran = stopped.how === 'ended' || (await endRemains(layout, log));
    const stopping = ran || stopped.how === 'killed';
    answer(values.json, { stopped: stopping }, stopping ? 'stopped' : 'it was not running');
    return 0;
  },
});
