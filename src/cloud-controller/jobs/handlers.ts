import type { Context } from '../context.ts';
import { deleteDomainJob } from '../domains/operations.ts';
import { deleteOrganization } from '../organizations/delete.ts';
import { deleteOrganizationQuotaJob } from '../quotas/organization-operations.ts';
import { deleteSpaceQuotaJob } from '../quotas/space-operations.ts';
import { deleteRoleJob } from '../roles/operations.ts';
import { deleteRouteJob, deleteUnmappedRoutesJob } from '../routes/delete.ts';
import { deleteSecurityGroupJob } from '../security-groups/operations.ts';
import { deleteSpaceJob } from '../spaces/delete.ts';
import { deleteUserJob } from '../users/operations.ts';
import type { Job } from './store.ts';

type Handler = (context: Context, job: Job) => Promise<readonly string[] | undefined>;

/** Who does which job. */
const handlers: Readonly<Record<string, Handler>> = {
  'organization.delete': deleteOrganization,
  'organization_quota.delete': deleteOrganizationQuotaJob,
  'space.delete': deleteSpaceJob,
  'space.delete_unmapped_routes': deleteUnmappedRoutesJob,
  'space_quota.delete': deleteSpaceQuotaJob,
  'role.delete': deleteRoleJob,
  'user.delete': deleteUserJob,
  'domain.delete': deleteDomainJob,
  'route.delete': deleteRouteJob,
  'security_group.delete': deleteSecurityGroupJob,
};

export function registerJobs(context: Context): void {
  for (const [name, handle] of Object.entries(handlers)) context.jobs.register(name, (job) => handle(context, job));
}
