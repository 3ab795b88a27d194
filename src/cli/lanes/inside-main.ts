import { runInside } from './inside.ts';

await runInside(process.argv.slice(2));
