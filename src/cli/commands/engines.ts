import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import {
  chosenImage,
  type EngineImage,
  engineImages,
  formerImage,
  rollBackEngineImage,
  updateEngineImage,
} from '../../platform/engines/image/image.ts';
import { type Layout, layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { installation, say } from '../options.ts';
import { Progress } from '../progress.ts';
import { statusOrNull } from '../stopping.ts';
import { table } from '../table.ts';
import { changeEngines } from '../up/upgrade.ts';

const ACTIONS = ['list', 'update', 'rollback'] as const;
/** Of the programs that are engines, the packages they come from. */
const SHOWN = /^(haproxy|postgresql-\d+|nats-server|dnsmasq-base|runc|conmon|catatonit|crun)$/;

export const engines = command({
  flags: JSON_FLAG,
  about: [
    'An image has the engines as signed packages (docs/operator.md). update makes one of what the distribution has now and replaces what runs of the former; apps serve meanwhile. Where that fails, and with rollback, the former is in use again.',
  ],
  examples: ['./cupola engines', './cupola engines update', './cupola engines rollback'],
  async run({ values, positionals }) {
    const [word = 'list', ...more] = positionals;
    const action = ACTIONS.find((one) => one === word);
    if (action === undefined || more.length > 0) throw new UsageError(`engines takes one of ${ACTIONS.join(', ')}`);
    const settings = installation(values.data);
    const layout = layoutOf(settings);
    if (action === 'list') return list(layout, values.json === true);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'engines');
    const log = new Logger('engines', {}, (line) =>
      appendFileSync(join(layout.logs, 'upgrade.log'), line, { mode: 0o600 }),
    );
    const progress = new Progress(3, !values.json);
    const options = { directory: layout.engines, sources: settings.engineSources, log, onProgress: progress.part };
    progress.step(action === 'update' ? 'Preparing the engines' : 'Choosing the former engines');
    const { image, isNew } =
      action === 'update' ? await updateEngineImage(options) : { image: rollBackEngineImage(options), isNew: true };
    if (isNew) await swap(layout, image, progress, () => rollBackEngineImage(options));
    progress.done();
    const said = isNew ? `engines ${image.digest} are in use` : `engines ${image.digest} are the newest there are`;
    say(values.json ? JSON.stringify({ image: image.digest, changed: isNew }) : said);
    return 0;
  },
});

/** What runs of a platform that is up is replaced, one after the other. Where that fails, the former image is in use again. */
async function swap(layout: Layout, image: EngineImage, progress: Progress, back: () => EngineImage): Promise<void> {
  const before = await statusOrNull(layout);
  if (!before) return; // the next `up` starts them
  if (!before.ready) {
    back();
    throw new CupolaError('not_ready', 'the platform is not well; other engines would hide why');
  }
  progress.step('Replacing the engines, one after the other');
  try {
    await changeEngines(layout, before.supervisor, image.digest, progress);
  } catch (cause) {
    progress.step('It failed; going back');
    await changeEngines(layout, before.supervisor, back().digest, progress).catch((error: unknown) => {
      throw new CupolaError('upgrade_failed', `the engines failed (${messageOf(cause)}), and so did going back`, {
        cause: error,
      });
    });
    throw new CupolaError('upgrade_rolled_back', 'the engines failed; those of before run again', { cause });
  }
}

async function list({ engines: directory, settings }: Layout, json: boolean): Promise<number> {
  const [used, former] = [
    chosenImage(directory, settings.engineSources),
    formerImage(directory, settings.engineSources),
  ];
  const images = await engineImages(directory);
  const stateOf = ({ digest }: EngineImage): string =>
    digest === used?.digest ? 'in use' : digest === former ? 'former' : 'of another version';
  if (json) {
    say(JSON.stringify(images.map((image) => ({ ...image, state: stateOf(image) }))));
    return 0;
  }
  for (const image of images) {
    say(`${image.digest}  ${stateOf(image)}, made ${image.made}`);
    const shown = image.packages.filter(({ name }) => SHOWN.test(name));
    say(table(shown.map(({ name, version }) => [`  ${name}`, version])).join('\n'));
  }
  return 0;
}
