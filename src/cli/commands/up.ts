import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { PROJECT } from '../../kit/project.js';
import { restoreResolver } from '../../platform/host/names.ts';
import { settle } from '../../platform/host/settle.ts';
import { removeUnusedTrees } from '../../platform/installation.ts';
import { layoutOf } from '../../platform/layout.ts';
import { requirePorts } from '../../platform/ports.ts';
import { readProcesses } from '../../platform/processes.ts';
import { requireWhole } from '../../platform/removal.ts';
import { readCredentials } from '../../platform/secrets.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import { loadSettings, lockFileOf } from '../../platform/settings/store.ts';
import { command, JSON_FLAG } from '../command.ts';
import { dataDirectory, requireRoot, say } from '../options.ts';
import { Progress } from '../progress.ts';
import { push } from '../push/push.ts';
import { howToGoOn, restoredResolver, summary } from '../up/advice.ts';
import { install } from '../up/install.ts';
import { stayingSupervisor } from '../up/leaving.ts';
import { SETTING_FLAGS, saidSettings } from '../up/settings-flags.ts';
import { startAndWait } from '../up/start.ts';

export const up = command({
  flags: {
    ...SETTING_FLAGS,
    ...JSON_FLAG,
    demo: { type: 'boolean', help: 'push an example app' },
  },
  about: [
    'The first time on a machine this fetches what the platform needs and takes some minutes; later it takes seconds. Where it runs already, nothing is restarted.',
    'The options of an installation are kept: later ./cupola up alone is enough.',
  ],
  async run({ values }) {
    const began = Date.now();
    const said = saidSettings(values);
    requireRoot();
    const directory = dataDirectory(values.data);
    using lock = lockFile(lockFileOf(directory), 'up');
    requireWhole(directory);
    const wanted = { dataDirectory: directory, ...said };
    const settings = await settle(wanted, (made) => requirePorts(made, new Set())).catch((error: unknown) => {
      if (!loadSettings(wanted.dataDirectory)) lock.remove(); // there is nothing to be held
      throw error;
    });
    const layout = layoutOf(settings);
    const progress = new Progress(7, !values.json);
    // What runs and is ready is left alone: a second `up` only puts the machine's way to its names back.
    const running = await stayingSupervisor(layout, progress.part);
    if (!running)
      await requirePorts(settings, new Set(Object.values(readProcesses(layout.processesFile)).map(({ pid }) => pid)));
    if (!running?.ready) {
      mkdirSync(layout.logs, { recursive: true, mode: 0o700 });
      const log = new Logger('up', {}, (line) => appendFileSync(join(layout.logs, 'up.log'), line, { mode: 0o600 }));
      await install({ project: PROJECT, layout, log, progress });
      // Not where the code of before runs or may take over again: it has its own.
      if (!running) await removeUnusedTrees({ layout, log });
      await startAndWait({ project: PROJECT, layout, progress });
    }
    const restored = running?.ready === true && (await restoreResolver(settings));
    if (restored) process.stderr.write(`${restoredResolver(settings)}\n`);
    const seconds = running?.ready ? null : Math.round((Date.now() - began) / 100) / 10;
    const demo = values.demo ? await pushDemo(settings, !values.json) : null;
    if (values.json) say(JSON.stringify(summary(settings, seconds, demo)));
    else say(howToGoOn(settings, seconds, demo));
    return 0;
  },
});

async function pushDemo(settings: PlatformSettings, show: boolean): Promise<string> {
  const directory = join(PROJECT, 'examples/hello-node');
  const onProgress = show ? say : () => {};
  const [pushed] = await push(settings, await readCredentials(settings), { directory, onProgress });
  return pushed?.addresses[0] ?? '';
}
