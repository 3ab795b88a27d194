import { Type } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import { notFound, unprocessable } from '../errors.ts';
import { ok, operation } from '../operation.ts';
import { type Links, timestamp } from '../view.ts';
import { type EnvironmentVariableGroup, type GroupName, readGroup, writeGroup } from './store.ts';

const MAX_BYTES = 65_536;
const Value = Type.Union([Type.Null(), Type.String(), Type.Number(), Type.Boolean()]);
const UpdateGroup = Type.Object({ var: Type.Record(Type.String(), Value) }, { additionalProperties: false });

export const environmentVariableGroupOperations = [
  operation({
    id: 'GET /v3/environment_variable_groups/:name',
    async run(call) {
      const { db, sealer, links } = call.context;
      const name = groupName(call.params.name);
      return ok(groupView(links, name, await readGroup(db, sealer, name)));
    },
  }),

  operation({
    id: 'PATCH /v3/environment_variable_groups/:name',
    body: UpdateGroup,
    async run(call) {
      const { db, sealer, links } = call.context;
      const name = groupName(call.params.name);
      await db.transaction().execute(async (trx) => {
        const before = await readGroup(trx, sealer, name);
        await writeGroup(trx, sealer, name, merged(before.variables, call.body.var));
        await recordEvent(trx, {
          type: 'audit.environment_variable_group.update',
          actor: call.actor,
          target: { guid: name, type: 'environment_variable_group', name },
          organizationGuid: null,
          data: { request: { ...call.body } },
        });
      });
      return ok(groupView(links, name, await readGroup(db, sealer, name)));
    },
  }),
];

function groupName(text: string): GroupName {
  if (text !== 'running' && text !== 'staging') throw notFound('Environment variable group');
  return text;
}

function merged(
  before: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | number | boolean | null>>,
): Record<string, string> {
  const after = new Map(Object.entries(before));
  for (const [name, value] of Object.entries(changes)) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw unprocessable(`Var '${name}' is no name of a variable`);
    if (value === null) after.delete(name);
    else after.set(name, String(value));
  }
  const variables = Object.fromEntries(after);
  if (Buffer.byteLength(JSON.stringify(variables)) > MAX_BYTES) {
    throw unprocessable(
      'Environment variable group is too large. Specify fewer variables or reduce key/value lengths.',
    );
  }
  return variables;
}

function groupView(links: Links, name: GroupName, group: EnvironmentVariableGroup): Record<string, unknown> {
  return {
    name,
    updated_at: group.updatedAt === null ? null : timestamp(group.updatedAt),
    var: group.variables,
    links: { self: links.to(`/v3/environment_variable_groups/${name}`) },
  };
}
