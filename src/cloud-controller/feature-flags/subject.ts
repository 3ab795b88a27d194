import { inPath, placeless } from '../subject.ts';
import { findFeatureFlag } from './store.ts';

/** By its name, which is all that it has for a guid. */
export const featureFlag = inPath(placeless('Feature flag', findFeatureFlag), 'name');
