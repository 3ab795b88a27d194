/** Builds the image of the engines that tests run, in the directory given, unless it is there by this checkout's recipe. */
import { Logger } from '../../src/kit/log.ts';
import { ensureEngineImage } from '../../src/platform/engines/image/image.ts';

const image = await ensureEngineImage({
  directory: process.argv[2]!,
  log: new Logger('engines', {}, () => {}),
  onProgress: console.log,
});
console.log(`engines ${image.digest} in ${image.root}`);
