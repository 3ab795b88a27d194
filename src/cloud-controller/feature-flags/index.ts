import { resource } from '../resource.ts';
import { featureFlagOperations } from './operations.ts';

export const featureFlags = resource({
  operations: featureFlagOperations,
});
