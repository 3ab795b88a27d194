import { importProgram } from '../kit/bundles.ts';

await importProgram('cell', () => import('./programs/cell.ts'));
