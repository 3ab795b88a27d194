import { importProgram, makeBundles } from '../kit/bundles.ts';
import { messageOf } from '../kit/errors.ts';

const PROGRAMS = {
  cli: 'cli/run.ts',
  control: 'platform/programs/control.ts',
  cell: 'platform/programs/cell.ts',
  supervisor: 'platform/programs/supervisor.ts',
};

await makeBundles(PROGRAMS).catch((error: Error) => {
  console.error(`cupola: ${error.message} (${messageOf(error.cause)}); their sources run, which takes longer to start`);
});
const { run } = await importProgram('cli', () => import('./run.ts'));
process.exitCode = await run(process.argv.slice(2));
