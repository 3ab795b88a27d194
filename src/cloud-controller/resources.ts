import { appActions } from './app-actions/index.ts';
import { apps } from './apps/index.ts';
import { auditEvents } from './audit-events/index.ts';
import { buildpacks } from './buildpacks/index.ts';
import { builds } from './builds/index.ts';
import { deployments } from './deployments/index.ts';
import { domains } from './domains/index.ts';
import { droplets } from './droplets/index.ts';
import { environmentVariableGroups } from './environment-variable-groups/index.ts';
import { featureFlags } from './feature-flags/index.ts';
import { isolationSegments } from './isolation-segments/index.ts';
import { jobs } from './jobs/index.ts';
import { manifests } from './manifests/index.ts';
import type { Operation } from './operation.ts';
import { organizationQuotas } from './organization-quotas/index.ts';
import { organizations } from './organizations/index.ts';
import { packages } from './packages/index.ts';
import { processes } from './processes/index.ts';
import type { Resource } from './resource.ts';
import { revisions } from './revisions/index.ts';
import { roles } from './roles/index.ts';
import { root } from './root/index.ts';
import { routes } from './routes/index.ts';
import { securityGroups } from './security-groups/index.ts';
import { services } from './services/index.ts';
import { sidecars } from './sidecars/index.ts';
import { spaceQuotas } from './space-quotas/index.ts';
import { spaces } from './spaces/index.ts';
import { stacks } from './stacks/index.ts';
import { tasks } from './tasks/index.ts';
import { users } from './users/index.ts';

/** Every resource of the API. What lies in a space or belongs to an app is deleted in this order. */
export const resources: readonly Resource[] = [
  root,
  jobs,
  organizations,
  spaces,
  organizationQuotas,
  spaceQuotas,
  roles,
  users,
  domains,
  apps,
  appActions,
  packages,
  builds,
  tasks,
  droplets,
  deployments,
  processes,
  sidecars,
  revisions,
  routes,
  securityGroups,
  isolationSegments,
  featureFlags,
  environmentVariableGroups,
  auditEvents,
  services,
  stacks,
  buildpacks,
  manifests,
];

/** Every operation of the API. */
export const operations: readonly Operation[] = resources.flatMap((one) => one.operations);
