/**
 * Builds the image of the engines that tests run, in the directory given, unless it is there by this checkout's recipe. Images that nobody uses
 * are removed, and built buildpacks.
 */
import { Logger } from '../../src/kit/log.ts';
import { ensureEngineImage } from '../../src/platform/engines/image/image.ts';
import { removeUnusedBuildpacks, removeUnusedEngines } from '../support/unused-caches.ts';

const image = await ensureEngineImage({
  directory: process.argv[2]!,
  log: new Logger('engines', {}, () => {}),
  onProgress: console.log,
});
const BUILT = '/var/cache/cupola-test-buildpacks/fetched/built';
for (const old of [...removeUnusedEngines(process.argv[2]!), ...removeUnusedBuildpacks(BUILT)])
  console.log(`removed ${old}, which nobody used`);
console.log(`engines ${image.digest} in ${image.root}`);
