import type { Logger } from '../../kit/log.ts';
import { ensureAccounts } from '../../platform/host/accounts.ts';
import { installResolver } from '../../platform/host/names.ts';
import { ensurePackages } from '../../platform/host/packages.ts';
import { prepareBuildpacks, prepareEngines, prepareStack } from '../../platform/installation.ts';
import type { Layout } from '../../platform/layout.ts';
import { prepareStagingEnvironment } from '../../platform/staging-environment.ts';
import type { Progress } from '../progress.ts';
import { atOnce } from './at-once.ts';
import { phases } from './phases.ts';

/** Brings the machine to where the platform can start. Each step does only what is missing. */
export async function install(options: {
  project: string;
  layout: Layout;
  log: Logger;
  progress: Progress;
}): Promise<void> {
  const { project, layout, log, progress } = options;
  const tell = (text: string): void => {
    log.info(text);
    progress.part(text);
  };
  progress.step('Checking the packages of the machine');
  await ensurePackages(tell);
  progress.step('Checking the system accounts');
  await ensureAccounts(layout.settings);
  progress.step('Preparing engines, stack and buildpacks (the first time takes some minutes)');
  // The one waits for the network while the other has the processor.
  await atOnce(tell, {
    engines: (say) => prepareEngines({ layout, log, onProgress: say }),
    stack: (say) => prepareStack({ layout, log, onProgress: phases(say, progress.detail) }),
    buildpacks: (say) => prepareBuildpacks(project, { layout, log, onProgress: progress.detail, onMade: say }),
  });
  await prepareStagingEnvironment(layout);
  progress.step(`Making names under ${layout.settings.domain} known to this machine`);
  await installResolver(layout.settings);
}
