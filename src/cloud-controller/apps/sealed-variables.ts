import type { Sealer } from '../../kit/crypto.ts';
import type { Guid } from '../guid.ts';
import type { AppWithVariables } from './store.ts';

export type Variables = Readonly<Record<string, string>>;

/** Of an app, or of one of its revisions. */
export type Sealed = Pick<AppWithVariables, 'guid' | 'env_key_label' | 'env_data'>;

const contextOf = (appGuid: Guid<'app'>): string => `apps.env:${appGuid}`;

/** The app's own variables, opened (CC-02): for its containers. Who reads them over the API gets them from variables.ts. */
export function openVariables(sealer: Sealer, app: Sealed): Variables {
  if (app.env_key_label === null || app.env_data === null) return {};
  const text = sealer.open({ keyLabel: app.env_key_label, data: app.env_data }, contextOf(app.guid));
  return JSON.parse(text) as Variables; // sealed under our key: nobody else has written it
}

/** The two columns as they are to be stored. */
export function sealVariables(
  sealer: Sealer,
  appGuid: Guid<'app'>,
  variables: Variables,
): { env_key_label: string | null; env_data: Buffer | null } {
  if (Object.keys(variables).length === 0) return { env_key_label: null, env_data: null };
  const { keyLabel, data } = sealer.seal(JSON.stringify(variables), contextOf(appGuid));
  return { env_key_label: keyLabel, env_data: data };
}
