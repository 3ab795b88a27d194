import { resource } from '../resource.ts';
import { deleteProcessesOfApp } from './contents.ts';
import { processOperations } from './operations.ts';

export const processes = resource({
  operations: processOperations,
  contents: { app: deleteProcessesOfApp },
});
