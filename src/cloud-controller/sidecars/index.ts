import { resource } from '../resource.ts';
import { sidecarOperations } from './operations.ts';

export const sidecars = resource({
  operations: sidecarOperations,
});
