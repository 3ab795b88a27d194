import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import {
  choiceOf,
  chooseEngineImage,
  type EngineImage,
  engineImages,
  enginesOf,
  rollBackEngineImage,
  updateEngineImage,
} from '../../platform/engines/image/image.ts';
import { removeFormerData, requireCarryOver, requireReadable } from '../../platform/former-data.ts';
import { type Layout, layoutOf } from '../../platform/layout.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { installation, say } from '../options.ts';
import { Progress } from '../progress.ts';
import { statusOrNull } from '../stopping.ts';
import { table } from '../table.ts';
import { changeEngines } from '../up/upgrade.ts';

const ACTIONS = ['list', 'update', 'rollback', 'clean'] as const;

export const engines = command({
  flags: JSON_FLAG,
  about: [
    'An image has the engines as signed packages (docs/operator.md). update makes one of what the distribution has now and replaces what runs of the former; apps serve meanwhile. Where that fails, and with rollback, the former is in use again.',
    'Data that were carried over to another major version of PostgreSQL stay as they were, and clean deletes those; so does the next upgrade or update.',
  ],
  examples: ['./cupola engines', './cupola engines update', './cupola engines rollback', './cupola engines clean'],
  async run({ values, positionals }) {
    const [word = 'list', ...more] = positionals;
    const action = ACTIONS.find((one) => one === word);
    if (action === undefined || more.length > 0) throw new UsageError(`engines takes one of ${ACTIONS.join(', ')}`);
    const settings = installation(values.data);
    const layout = layoutOf(settings);
    if (action === 'list') return list(layout, values.json === true);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'engines');
    if (action === 'clean') return clean(layout, values.json === true);
    const log = new Logger('engines', {}, (line) =>
      appendFileSync(join(layout.logs, 'upgrade.log'), line, { mode: 0o600 }),
    );
    const progress = new Progress(3, !values.json);
    const options = { directory: layout.engines, sources: settings.engineSources, log, onProgress: progress.part };
    progress.step(action === 'update' ? 'Preparing the engines' : 'Choosing the former engines');
    const status = await statusOrNull(layout); // where nothing runs, the next `up` starts them
    const chosen = choiceOf(layout.engines, settings.engineSources);
    // Whoever was interrupted chose another than runs.
    const before = status?.supervisor.engines ?? chosen?.image;
    const former = chosen?.former === before ? null : (chosen?.former ?? null);
    const goBack = () => chooseEngineImage(options, { image: before!, former });
    if (action === 'rollback') await requireFormer(layout, chosen?.former);
    const image = action === 'update' ? await updateEngineImage(options) : rollBackEngineImage(options);
    const changed = before !== image.digest;
    if (status && changed) await swap(layout, status, image, progress, goBack);
    progress.done();
    const said = changed ? `engines ${image.digest} are in use` : `engines ${image.digest} are the newest there are`;
    say(values.json ? JSON.stringify({ image: image.digest, changed }) : said);
    return 0;
  },
});

/** What runs of a platform that is up is replaced, one after the other. Where that fails, the former image is in use again. */
async function swap(
  layout: Layout,
  before: PlatformStatus,
  image: EngineImage,
  progress: Progress,
  goBack: () => EngineImage,
): Promise<void> {
  if (!before.ready) {
    goBack();
    throw new CupolaError('not_ready', 'the platform is not well; other engines would hide why');
  }
  await requireCarryOver(layout).catch((error: unknown) => {
    goBack();
    throw error;
  });
  progress.step('Replacing the engines, one after the other');
  try {
    await changeEngines(layout, before.supervisor, image.digest, progress);
  } catch (cause) {
    progress.step('It failed; going back');
    await changeEngines(layout, before.supervisor, goBack().digest, progress).catch((error: unknown) => {
      throw new CupolaError('upgrade_failed', `the engines failed (${messageOf(cause)}), and so did going back`, {
        cause: error,
      });
    });
    throw new CupolaError('upgrade_rolled_back', 'the engines failed; those of before run again', { cause });
  }
  await removeFormerData(layout, before.database?.remains ?? []);
}

/** Throws `data_too_new` where the former image cannot read the data. */
async function requireFormer(layout: Layout, former?: string | null): Promise<void> {
  const image = (await engineImages(layout.engines)).find(({ digest }) => digest === former);
  if (image) await requireReadable(layout, image.root);
}

async function clean(layout: Layout, json: boolean): Promise<number> {
  const removed = await removeFormerData(layout);
  const said = removed.length === 0 ? 'there are no former data' : `deleted: data of PostgreSQL ${removed.join(', ')}`;
  say(json ? JSON.stringify({ removed }) : said);
  return 0;
}

async function list({ engines: directory, settings }: Layout, json: boolean): Promise<number> {
  const choice = choiceOf(directory, settings.engineSources);
  const damaged: { digest: string; problem: string }[] = [];
  const images = await engineImages(directory, (digest, problem) => damaged.push({ digest, problem }));
  const stateOf = ({ digest }: EngineImage): string =>
    digest === choice?.image ? 'in use' : digest === choice?.former ? 'former' : 'of another version';
  if (json) {
    const unusable = damaged.map((one) => ({ ...one, state: 'damaged' }));
    say(JSON.stringify([...images.map((image) => ({ ...image, state: stateOf(image) })), ...unusable]));
    return 0;
  }
  for (const image of images) {
    say(`${image.digest}  ${stateOf(image)}, made ${image.made}`);
    say(table(enginesOf(image).map(({ name, version }) => [`  ${name}`, version])).join('\n'));
  }
  for (const { digest, problem } of damaged) say(`${digest}  damaged: ${problem}`);
  return 0;
}
