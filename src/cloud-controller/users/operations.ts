import { recordEvent } from '../audit-events/store.ts';
import { created, ok, operation } from '../operation.ts';
import { organization } from '../organizations/subject.ts';
import { space } from '../spaces/subject.ts';
import { deletes, lists, shown, shows, UpdateMetadata } from '../standard.ts';
import { createUser } from './create.ts';
import { userEvent } from './events.ts';
import { named } from './names.ts';
import { CreateUser } from './schema.ts';
import { updateUser } from './store.ts';
import { user, users, withRoleIn } from './subject.ts';
import { UserView } from './view.ts';

export const userOperations = [
  operation('GET /v3/users', lists(users)),

  operation(
    'GET /v3/organizations/:guid/users',
    lists(users, { on: organization, inside: withRoleIn('organization') }),
  ),

  operation('GET /v3/spaces/:guid/users', lists(users, { on: space, inside: withRoleIn('space') })),

  operation('POST /v3/users', {
    body: CreateUser,
    answers: { 201: UserView },
    run: async (call) => created(await shown(call, users, await createUser(call.context, call.body, call.actor))),
  }),

  operation('GET /v3/users/:guid', shows(user, users)),

  operation('PATCH /v3/users/:guid', {
    on: user,
    body: UpdateMetadata,
    answers: { 200: UserView },
    async run(call) {
      const { body, context, subject } = call;
      const target = await named(context, subject.guid);
      const changed = await context.db.transaction().execute(async (trx) => {
        await recordEvent(trx, userEvent('audit.user.update', call.actor, target, { request: body }));
        return updateUser(trx, subject.guid, body.metadata);
      });
      return ok(await shown(call, users, { ...subject, ...changed }));
    },
  }),

  operation('DELETE /v3/users/:guid', deletes(user, 'user')),
];
