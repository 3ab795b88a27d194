import type { Static } from 'typebox';
import { auditEvent } from '../audit-events/event.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { environmentProblems } from '../environment-variables.ts';
import { unprocessable } from '../errors.ts';
import type { UpdateGroup } from './schema.ts';
import { type EnvironmentVariableGroup, type GroupName, lockGroup, readGroup, writeGroup } from './store.ts';

const MAX_BYTES = 65_536;

/** Sets the variables that a body names and takes away those it gives as null. Throws UnprocessableEntity. */
export async function changeGroup(
  { db, sealer }: Pick<Context, 'db' | 'sealer'>,
  actor: Actor,
  name: GroupName,
  body: Static<typeof UpdateGroup>,
): Promise<EnvironmentVariableGroup> {
  return db.transaction().execute(async (trx) => {
    await lockGroup(trx, name);
    const before = await readGroup(trx, sealer, name);
    await writeGroup(trx, sealer, name, merged(before.variables, body.var ?? {}));
    await recordEvent(
      trx,
      auditEvent('audit.environment_variable_group.update', actor, { guid: name, name }, { request: body }),
    );
    return readGroup(trx, sealer, name);
  });
}

function merged(
  before: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const problems = environmentProblems(changes);
  if (problems.length > 0) throw unprocessable(problems.map((problem) => `Var ${problem}`).join(', '));
  const after = new Map(Object.entries(before));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) after.delete(name);
    else after.set(name, value);
  }
  const variables = Object.fromEntries(after);
  if (Buffer.byteLength(JSON.stringify(variables)) > MAX_BYTES) {
    throw unprocessable(
      'Environment variable group is too large. Specify fewer variables or reduce key/value lengths.',
    );
  }
  return variables;
}
