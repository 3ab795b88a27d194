import { importProgram } from '../kit/bundle.js';

await importProgram('supervisor', () => import('./programs/supervisor.ts'));
