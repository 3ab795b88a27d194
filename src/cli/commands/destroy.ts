import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { teardownPlatform } from '../../platform/teardown.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { answer, installation } from '../options.ts';
import { stopForGood } from '../stopping.ts';

export const destroy = command({
  flags: { yes: { type: 'boolean', help: 'confirm: every app and all data are deleted' }, ...JSON_FLAG },
  async run({ values }) {
    if (!values.yes) throw new UsageError('destroy deletes every app and all data; say --yes to mean it');
    const settings = installation(values.data);
    using lock = lockFile(lockFileOf(settings.dataDirectory), 'destroy');
    using _stopped = await stopForGood(layoutOf(settings), 'destroy');
    const stays = await teardownPlatform(
      settings,
      new Logger('destroy', {}, (line) => process.stderr.write(line), 'warn'),
    );
    lock.remove();
    const removed = settings.dataDirectory;
    answer(values.json, { removed, stays }, [`removed ${removed} and all that ran from it`, ...stays].join('\n'));
    return 0;
  },
});
