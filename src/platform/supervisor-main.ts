import { importProgram } from '../kit/bundles.ts';

await importProgram('supervisor', () => import('./programs/supervisor.ts'));
