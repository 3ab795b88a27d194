import type { Sealer } from '../../kit/crypto.ts';
import type { Context } from '../context.ts';
import type { Db, Locked, Trx } from '../database.ts';
import { environmentProblems } from '../environment-variables.ts';
import { notFound, unprocessable } from '../errors.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import type { Guid } from '../guid.ts';
import { PERMISSIONS } from '../permissions.ts';
import { openVariables, type Sealed, sealVariables, type Variables } from './sealed-variables.ts';
import { type App, findAppWithVariables, writeApp } from './store.ts';

/** What an app's environment may weigh, so that a container's start stays within the kernel's limits. */
const MAX_BYTES = 128 * 1024;

/** Whoever asks for variables over the API. */
export interface VariablesReader {
  readonly context: Context;
  readonly isAdmin: boolean;
}

/** The foundation may hide environment variables from everybody but its admins. */
async function areHidden({ context, isAdmin }: VariablesReader): Promise<boolean> {
  if (isAdmin) return false;
  const { whileOn } = PERMISSIONS['GET /v3/apps/:guid/environment_variables'];
  for (const flag of whileOn) if (!(await isFeatureEnabled(context.db, flag))) return true;
  return false;
}

/** An app's variables as they lie. Throws "App not found" where it went away. */
export async function sealedVariables(db: Db, appGuid: Guid<'app'>): Promise<Sealed> {
  const app = await findAppWithVariables(db, appGuid);
  if (!app) throw notFound('App');
  return app;
}

/** Variables for an operation whose line in the permission table asks for the flags that hide them. */
export function readVariables({ sealer }: Pick<Context, 'sealer'>, of: Sealed): Variables {
  return openVariables(sealer, of);
}

/** Variables as this caller may read them whose roles were asked for; null where the foundation hides them. */
export async function visibleVariables(reader: VariablesReader, of: Sealed): Promise<Variables | null> {
  return (await areHidden(reader)) ? null : openVariables(reader.context.sealer, of);
}

/** Throws UnprocessableEntity for names no app may set and for more than a container can carry. */
export function checkVariables(variables: Readonly<Record<string, string | null>>): void {
  const problems = environmentProblems(variables);
  if (Buffer.byteLength(JSON.stringify(variables)) > MAX_BYTES) problems.push('is too large (maximum is 128 KB)');
  if (problems.length > 0)
    throw unprocessable(problems.map((problem) => `Environment variables ${problem}`).join(', '));
}

/** Sets what is given and removes what is null. */
export async function mergeVariables(
  trx: Trx,
  sealer: Sealer,
  app: Locked<App>,
  changes: Readonly<Record<string, string | null>>,
): Promise<void> {
  const merged = new Map(Object.entries(openVariables(sealer, await sealedVariables(trx, app.guid))));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  const variables = Object.fromEntries(merged);
  checkVariables(variables);
  await writeApp(trx, app.guid, sealVariables(sealer, app.guid, variables));
}
