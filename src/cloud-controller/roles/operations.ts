import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { listView } from '../list.ts';
import { type Call, created, ok, operation } from '../operation.ts';
import { findOrganizations } from '../organizations/store.ts';
import { organizationView } from '../organizations/view.ts';
import type { OperationId } from '../permissions.ts';
import { findSpaces } from '../spaces/store.ts';
import { spaceView } from '../spaces/view.ts';
import { usersView } from '../users/view.ts';
import { createRole } from './create.ts';
import { CreateRole } from './schema.ts';
import { findRole, isInSpaceOf, listRoles, type PlacedRole, type RoleRow, roleQuery } from './store.ts';
import { roleView } from './view.ts';

async function authorizedRole<Id extends OperationId>(call: Call<Id, unknown>, guid: string): Promise<PlacedRole> {
  const missing = notFound('Role');
  const role = await findRole(call.context.db, guid);
  if (!role) throw missing;
  await call.authorize(role.place, missing);
  return role;
}

export const roleOperations = [
  operation({
    id: 'GET /v3/roles',
    query: roleQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listRoles(db, call.query, call.visibleOrganizations(), call.visibleSpaces());
      const included = await includedWith(call, found.rows);
      return ok(listView(links, '/v3/roles', call.query, found, (row) => roleView(links, row), included));
    },
  }),

  operation({
    id: 'POST /v3/roles',
    body: CreateRole,
    async run(call) {
      return created(roleView(call.context.links, await createRole(call)));
    },
  }),

  operation({
    id: 'GET /v3/roles/:guid',
    query: { include: roleQuery.include },
    async run(call) {
      const role = await authorizedRole(call, call.params.guid);
      const included = await includedWith(call, [role]);
      return ok({ ...roleView(call.context.links, role), ...(included ? { included } : {}) });
    },
  }),

  operation({
    id: 'DELETE /v3/roles/:guid',
    async run(call) {
      const { db, jobs } = call.context;
      const role = await authorizedRole(call, call.params.guid);
      if (role.type === 'organization_user' && (await isInSpaceOf(db, role.user_guid, role.place.organization.guid))) {
        throw unprocessable(
          'Cannot delete organization_user role while user has roles in spaces in that organization.',
        );
      }
      const resource = { type: 'role', guid: role.guid };
      return call.accepted(await jobs.enqueue({ operation: 'role.delete', actor: call.actor, resource }));
    },
  }),
];

/** Job "role.delete". */
export async function deleteRoleJob(context: Context, job: Job): Promise<undefined> {
  const role = await findRole(context.db, job.resourceGuid ?? '');
  if (!role) return;
  const [user] = await context.users.byIds([role.user_guid]);
  await context.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('roles').where('guid', '=', role.guid).execute();
    await recordEvent(trx, {
      type: `audit.user.${role.type}_remove`,
      actor: job.actor,
      target: { guid: role.user_guid, type: 'user', name: user?.userName ?? role.user_guid },
      organizationGuid: role.place.organization.guid,
      spaceGuid: role.space_guid,
    });
  });
}

async function includedWith(call: Call<OperationId, unknown>, roles: readonly RoleRow[]) {
  const { include } = call.query;
  if (include.size === 0) return undefined;
  const { db, links } = call.context;
  const distinct = (guids: readonly (string | null)[]) => [...new Set(guids)].filter((guid) => guid !== null);
  const included: Record<string, unknown[]> = {};
  if (include.has('user'))
    included['users'] = await usersView(call.context, distinct(roles.map((role) => role.user_guid)));
  if (include.has('organization')) {
    const rows = await findOrganizations(db, distinct(roles.map((role) => role.organization_guid)));
    included['organizations'] = rows.map((row) => organizationView(links, row));
  }
  if (include.has('space')) {
    const rows = await findSpaces(db, distinct(roles.map((role) => role.space_guid)));
    included['spaces'] = rows.map((row) => spaceView(links, row));
  }
  return included;
}
