import { importProgram, makeBundles } from '../kit/bundles.ts';

const PROGRAMS = {
  cli: 'cli/run.ts',
  control: 'platform/programs/control.ts',
  cell: 'platform/programs/cell.ts',
  supervisor: 'platform/programs/supervisor.ts',
};

await makeBundles(PROGRAMS);
const { run } = await importProgram('cli', () => import('./run.ts'));
process.exitCode = await run(process.argv.slice(2));
