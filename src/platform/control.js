import { importProgram } from '../kit/bundle.js';

await importProgram('control', () => import('./programs/control.ts'));
