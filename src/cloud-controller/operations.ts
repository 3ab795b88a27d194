import { jobOperations } from './jobs/operations.ts';
import type { Operation } from './operation.ts';
import { organizationOperations } from './organizations/operations.ts';
import { rootOperations } from './root/operations.ts';

/** Every operation of the API. */
export const operations: readonly Operation[] = [...rootOperations, ...jobOperations, ...organizationOperations];
