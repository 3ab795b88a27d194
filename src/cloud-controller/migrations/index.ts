import type { Migration } from '../../kit/database.ts';
import { organizations } from './001-organizations.ts';
import { usersAndRoles } from './002-users-and-roles.ts';
import { auditEventsAndJobs } from './003-audit-events-and-jobs.ts';
import { domainsAndRoutes } from './004-domains-and-routes.ts';
import { securityGroups } from './005-security-groups.ts';
import { apps } from './006-apps.ts';
import { restartsCanariesSidecars } from './007-restarts-canaries-sidecars.ts';
import { systemBuildpacks } from './008-system-buildpacks.ts';
import { publicRoutes } from './009-public-routes.ts';
import { outgoingSince } from './010-outgoing-since.ts';
import { dockerImages } from './011-docker-images.ts';
import { revisionContents } from './012-revision-contents.ts';
import { routeOptions } from './013-route-options.ts';
import { leavingLrp } from './014-leaving-lrp.ts';
import { storedBlobs } from './015-stored-blobs.ts';
import { failedRestarts } from './016-failed-restarts.ts';
import { outgoingVersions } from './017-outgoing-versions.ts';
import { retention } from './018-retention.ts';
import { reservedByDeployments } from './019-reserved-by-deployments.ts';
import { jobsByCaller } from './020-jobs-by-caller.ts';
import { counts } from './021-counts.ts';
import { rulesHash } from './022-rules-hash.ts';

/** In the order they are applied: that of their files. What a migration is called in the database was given before that. */
export const migrations: readonly Migration[] = [
  organizations,
  usersAndRoles,
  auditEventsAndJobs,
  domainsAndRoutes,
  securityGroups,
  apps,
  restartsCanariesSidecars,
  systemBuildpacks,
  publicRoutes,
  outgoingSince,
  dockerImages,
  revisionContents,
  routeOptions,
  leavingLrp,
  storedBlobs,
  failedRestarts,
  outgoingVersions,
  retention,
  reservedByDeployments,
  jobsByCaller,
  counts,
  rulesHash,
];
