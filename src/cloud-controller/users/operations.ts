import { Type } from 'typebox';
import type { Context } from '../context.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { listView } from '../list.ts';
import { MetadataInput } from '../metadata.ts';
import { type Answer, type Call, created, ok, operation } from '../operation.ts';
import { authorizedOrganization } from '../organizations/operations.ts';
import type { OperationId } from '../permissions.ts';
import { authorizedSpace } from '../spaces/operations.ts';
import {
  type Among,
  deleteUser,
  findUsers,
  insertUser,
  isVisibleUser,
  listUsers,
  updateUser,
  userQuery,
} from './store.ts';
import { userPresenter, usersView } from './view.ts';

const Text = Type.String({ minLength: 1, maxLength: 200 });
const CreateUser = Type.Object(
  {
    guid: Type.Optional(Text),
    username: Type.Optional(Text),
    origin: Type.Optional(Text),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
const UpdateUser = Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false });

export const userOperations = [
  operation({
    id: 'GET /v3/users',
    query: userQuery,
    async run(call) {
      const among: Among = { kind: 'visible', caller: call.caller, organizations: call.visibleOrganizations() };
      return listed(call, '/v3/users', among);
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid/users',
    query: userQuery,
    async run(call) {
      const { guid } = await authorizedOrganization(call, call.params.guid);
      return listed(call, `/v3/organizations/${guid}/users`, { kind: 'organization', guid });
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid/users',
    query: userQuery,
    async run(call) {
      const { guid } = await authorizedSpace(call, call.params.guid);
      return listed(call, `/v3/spaces/${guid}/users`, { kind: 'space', guid });
    },
  }),

  operation({
    id: 'POST /v3/users',
    body: CreateUser,
    async run(call) {
      const guid = await guidOfNew(call.context, call.body);
      if (!(await insertUser(call.context.db, guid, call.body.metadata))) {
        const { username, origin } = call.body;
        throw unprocessable(
          username === undefined
            ? `User with guid '${guid}' already exists.`
            : `User with username '${username}' and origin '${origin}' already exists.`,
        );
      }
      const [view] = await usersView(call.context, [guid]);
      return created(view);
    },
  }),

  operation({
    id: 'GET /v3/users/:guid',
    async run(call) {
      const among: Among = { kind: 'visible', caller: call.caller, organizations: call.visibleOrganizations() };
      if (!(await isVisibleUser(call.context.db, call.params.guid, among))) throw notFound('User');
      const [view] = await usersView(call.context, [call.params.guid]);
      return ok(view);
    },
  }),

  operation({
    id: 'PATCH /v3/users/:guid',
    body: UpdateUser,
    async run(call) {
      const { context, params } = call;
      const [user] = await findUsers(context.db, [params.guid]);
      if (!user) throw notFound('User');
      await updateUser(context.db, user, call.body.metadata);
      const [view] = await usersView(context, [params.guid]);
      return ok(view);
    },
  }),

  operation({
    id: 'DELETE /v3/users/:guid',
    async run(call) {
      const { context, params } = call;
      const [user] = await findUsers(context.db, [params.guid]);
      if (!user) throw notFound('User');
      const resource = { type: 'user', guid: user.guid };
      return call.accepted(await context.jobs.enqueue({ operation: 'user.delete', actor: call.actor, resource }));
    },
  }),
];

/** Job "user.delete". */
export async function deleteUserJob(context: Context, job: Job): Promise<undefined> {
  await deleteUser(context.db, job.resourceGuid ?? '');
}

async function listed(call: Call<OperationId, unknown>, path: string, among: Among): Promise<Answer> {
  const { db, users, links } = call.context;
  const found = await listUsers(db, users, call.query, among);
  const present = await userPresenter(call.context, found.rows);
  return ok(listView(links, path, call.query, found, present));
}

/** By guid, or by the name and origin of somebody UAA knows. */
async function guidOfNew(
  context: Context,
  body: { guid?: string; username?: string; origin?: string },
): Promise<string> {
  const { guid, username, origin } = body;
  if (guid !== undefined && username === undefined && origin === undefined) return guid;
  if (guid !== undefined || username === undefined || origin === undefined) {
    throw unprocessable('A user is named either by guid or by username and origin');
  }
  const [known] = await context.users.byName(username, origin);
  if (!known) throw unprocessable(`No user exists with the username '${username}' and origin '${origin}'.`);
  return known.id;
}
