import { resource } from '../resource.ts';
import { isolationSegmentOperations } from './operations.ts';

export const isolationSegments = resource({
  operations: isolationSegmentOperations,
});
