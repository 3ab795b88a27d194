import { placeless } from '../subject.ts';
import { findJob } from './store.ts';

/** Whoever was told its guid follows it. */
export const job = placeless('Job', findJob);
