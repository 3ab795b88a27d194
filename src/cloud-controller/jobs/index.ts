import { resource } from '../resource.ts';
import { jobOperations } from './operations.ts';

export const jobs = resource({
  operations: jobOperations,
});
