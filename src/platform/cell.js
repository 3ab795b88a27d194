import { importProgram } from '../kit/bundle.js';

await importProgram('cell', () => import('./programs/cell.ts'));
