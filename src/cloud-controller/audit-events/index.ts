import { resource } from '../resource.ts';
import { auditEventOperations } from './operations.ts';

export const auditEvents = resource({
  operations: auditEventOperations,
});
