import { lockFile } from '../../kit/lock.ts';
import { ROTATABLE, type Rotatable } from '../../platform/admin-messages.ts';
import { layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { askSupervisor } from '../../platform/supervisor-client.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { installation, say } from '../options.ts';

const HOUR_MS = 3_600_000;

export const rotate = command({
  flags: {
    overlap: {
      type: 'string',
      takes: 'HOURS',
      help: 'how long former roots stay trusted; 0 ends a rotation that is under way',
      unlessTold: '24',
      accepts: 'hours, at most a year',
      check: (word) => /^\d+(\.\d+)?$/.test(word) && Number(word) <= 24 * 365,
    },
    ...JSON_FLAG,
  },
  about: [
    'Certificates renew themselves in time: this is for a key that leaked, or for a trial. Without a word it replaces those of the components.',
  ],
  async run({ values, positionals }) {
    const [word = 'components', ...more] = positionals;
    const what = ROTATABLE.find((one) => one === word);
    if (what === undefined || more.length > 0) {
      const no = what === undefined ? `, and no "${word}"` : '';
      throw new UsageError(`rotate takes one of ${ROTATABLE.join(', ')}${no}`);
    }
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'rotate');
    const { done } = await askSupervisor(layoutOf(settings), 'POST /rotate', {
      what,
      ...overlapOf(what, values.overlap),
    });
    say(values.json ? JSON.stringify({ done }) : done.join('\n'));
    return 0;
  },
});

/** How long former roots stay trusted; 0 ends it at once. */
function overlapOf(what: Rotatable, text: string | undefined): { overlapMs?: number } {
  if (text === undefined) return {};
  if (what !== 'roots' && what !== 'all') throw new UsageError('--overlap is for roots');
  return { overlapMs: Math.round(Number(text) * HOUR_MS) };
}
