import type { Sealer } from '../../kit/crypto.ts';
import { type Db, now } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { environmentProblems } from '../manifests/manifest.ts';
import type { App } from './store.ts';

export type Variables = Readonly<Record<string, string>>;

/** What an app's environment may weigh, so that a container's start stays within the kernel's limits. */
const MAX_BYTES = 128 * 1024;

const contextOf = (appGuid: string): string => `apps.env:${appGuid}`;

/** The app's own variables, opened (CC-02). */
export function openVariables(sealer: Sealer, app: Pick<App, 'guid' | 'env_key_label' | 'env_data'>): Variables {
  if (app.env_key_label === null || app.env_data === null) return {};
  const text = sealer.open({ keyLabel: app.env_key_label, data: app.env_data }, contextOf(app.guid));
  return JSON.parse(text) as Variables;
}

/** The two columns as they are to be stored. */
export function sealVariables(
  sealer: Sealer,
  appGuid: string,
  variables: Variables,
): { env_key_label: string | null; env_data: Buffer | null } {
  if (Object.keys(variables).length === 0) return { env_key_label: null, env_data: null };
  const { keyLabel, data } = sealer.seal(JSON.stringify(variables), contextOf(appGuid));
  return { env_key_label: keyLabel, env_data: data };
}

/** Throws UnprocessableEntity for names no app may set and for more than a container can carry. */
export function checkVariables(variables: Readonly<Record<string, string | null>>): void {
  const problems = environmentProblems(variables);
  if (Buffer.byteLength(JSON.stringify(variables)) > MAX_BYTES) problems.push('is too large (maximum is 128 KB)');
  if (problems.length > 0)
    throw unprocessable(problems.map((problem) => `Environment variables ${problem}`).join(', '));
}

/** Sets what is given and removes what is null. The app's row must be locked. */
export async function mergeVariables(
  trx: Db,
  sealer: Sealer,
  app: App,
  changes: Readonly<Record<string, string | null>>,
): Promise<Variables> {
  const merged = new Map(Object.entries(openVariables(sealer, app)));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  const variables = Object.fromEntries(merged);
  checkVariables(variables);
  await trx
    .updateTable('apps')
    .set({ ...sealVariables(sealer, app.guid, variables), updated_at: now })
    .where('guid', '=', app.guid)
    .execute();
  return variables;
}
