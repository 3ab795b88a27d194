import { importProgram } from '../kit/bundle.js';

/** What makes bundles is loaded where there is none. */
async function prepare() {
  const { makeBundles } = await import('../kit/bundles.ts');
  const { messageOf } = await import('../kit/errors.ts');
  const { PROGRAMS } = await import('./programs.ts');
  await makeBundles(PROGRAMS).catch((error) => {
    console.error(
      `cupola: ${error.message} (${messageOf(error.cause)}); their sources run, which takes longer to start`,
    );
  });
}

const { run } = await importProgram('cli', () => import('./run.ts'), { prepare });
process.exitCode = await run(process.argv.slice(2));
