import { invalidOrganization, invalidSpace } from '../errors.ts';
import { created, operation } from '../operation.ts';
import { organization } from '../organizations/subject.ts';
import { space } from '../spaces/subject.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { perhapsInBody } from '../subject.ts';
import { createRole } from './create.ts';
import { checkRemovable } from './jobs.ts';
import { CreateRole } from './schema.ts';
import { role, roles } from './subject.ts';
import { RoleView } from './view.ts';

export const roleOperations = [
  operation('GET /v3/roles', lists(roles)),

  operation('POST /v3/roles', {
    on: {
      organization: perhapsInBody('relationships.organization', organization, invalidOrganization),
      space: perhapsInBody('relationships.space', space, invalidSpace),
    },
    mayNameNothing: true, // refused by `createRole`
    body: CreateRole,
    answers: { 201: RoleView },
    needs: ({ body }) => (body.relationships.user.data.username === undefined ? [] : ['set_roles_by_username']),
    async run(call) {
      const made = await createRole(call.context, call.subject, call.body, call.actor);
      return created(await shown(call, roles, made));
    },
  }),

  operation('GET /v3/roles/:guid', shows(role, roles)),

  operation(
    'DELETE /v3/roles/:guid',
    deletes(role, 'role', ({ context, subject }) => checkRemovable(context.db, subject)),
  ),
];
