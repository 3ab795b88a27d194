import { appsSideOperations } from './apps-side.ts';
import { auditEventOperations } from './audit-events/operations.ts';
import { domainOperations } from './domains/operations.ts';
import { environmentVariableGroupOperations } from './environment-variable-groups/operations.ts';
import { featureFlagOperations } from './feature-flags/operations.ts';
import { isolationSegmentOperations } from './isolation-segments/operations.ts';
import { jobOperations } from './jobs/operations.ts';
import type { Operation } from './operation.ts';
import { organizationOperations } from './organizations/operations.ts';
import { organizationQuotaOperations } from './quotas/organization-operations.ts';
import { spaceQuotaOperations } from './quotas/space-operations.ts';
import { roleOperations } from './roles/operations.ts';
import { rootOperations } from './root/operations.ts';
import { routeOperations } from './routes/operations.ts';
import { securityGroupOperations } from './security-groups/operations.ts';
import { serviceOperations } from './services/operations.ts';
import { spaceOperations } from './spaces/operations.ts';
import { userOperations } from './users/operations.ts';

/** Every operation of the API. */
export const operations: readonly Operation[] = [
  ...rootOperations,
  ...jobOperations,
  ...organizationOperations,
  ...organizationQuotaOperations,
  ...spaceOperations,
  ...spaceQuotaOperations,
  ...roleOperations,
  ...userOperations,
  ...domainOperations,
  ...routeOperations,
  ...securityGroupOperations,
  ...isolationSegmentOperations,
  ...featureFlagOperations,
  ...environmentVariableGroupOperations,
  ...auditEventOperations,
  ...serviceOperations,
  ...appsSideOperations,
];
