import type { Migration } from '../../kit/database.ts';
import { APPS_MIGRATION } from '../apps/migration.ts';
import { BUILDPACKS_MIGRATION } from '../buildpacks/migration.ts';
import { DOCKER_MIGRATION } from '../docker/migration.ts';
import { organizations } from './001-organizations.ts';
import { usersAndRoles } from './002-users-and-roles.ts';
import { auditEventsAndJobs } from './003-audit-events-and-jobs.ts';
import { domainsAndRoutes } from './004-domains-and-routes.ts';
import { securityGroups } from './005-security-groups.ts';
import { restartsCanariesSidecars } from './110-restarts-canaries-sidecars.ts';
import { outgoingSince } from './111-outgoing-since.ts';
import { publicRoutes } from './120-public-routes.ts';

/** In the order they are applied. */
export const migrations: readonly Migration[] = [
  organizations,
  usersAndRoles,
  auditEventsAndJobs,
  domainsAndRoutes,
  securityGroups,
  APPS_MIGRATION,
  restartsCanariesSidecars,
  BUILDPACKS_MIGRATION,
  publicRoutes,
  outgoingSince,
  DOCKER_MIGRATION,
];
