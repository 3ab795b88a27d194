import { resource } from '../resource.ts';
import { rootOperations } from './operations.ts';

export const root = resource({
  operations: rootOperations,
});
