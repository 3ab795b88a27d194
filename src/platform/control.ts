import { importProgram } from '../kit/bundles.ts';

await importProgram('control', () => import('./programs/control.ts'));
