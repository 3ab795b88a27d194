import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { layoutOf, lockFileOf } from '../../platform/settings.ts';
import { teardownPlatform } from '../../platform/teardown.ts';
import { type Command, DATA_OPTION, installation, parse, say, UsageError } from '../options.ts';
import { stopPlatform } from './down.ts';

export const destroy: Command = {
  usage: 'destroy --yes',
  summary: 'stop it and remove everything it made, data included',
  async run(args) {
    const { values } = parse(args, { ...DATA_OPTION, yes: { type: 'boolean' } });
    if (!values.yes) throw new UsageError('destroy deletes every app and all data; say --yes to mean it');
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'destroy');
    await stopPlatform(layoutOf(settings));
    await teardownPlatform(settings, new Logger('destroy', {}, (line) => process.stderr.write(line), 'warn'));
    say(`removed ${settings.dataDirectory} and all that ran from it`);
    return 0;
  },
};
