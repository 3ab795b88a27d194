import { resource } from '../resource.ts';
import { revisionOperations } from './operations.ts';

export const revisions = resource({
  operations: revisionOperations,
});
