import { importProgram, makeBundles } from '../kit/bundles.ts';
import { messageOf } from '../kit/errors.ts';
import { PROGRAMS } from './programs.ts';

await makeBundles(PROGRAMS).catch((error: Error) => {
  console.error(`cupola: ${error.message} (${messageOf(error.cause)}); their sources run, which takes longer to start`);
});
const { run } = await importProgram('cli', () => import('./run.ts'));
process.exitCode = await run(process.argv.slice(2));
