import type { Static } from 'typebox';
import type { Trx } from '../database.ts';
import { notFound } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { type App, writeApp } from './store.ts';
import type { FeatureView } from './view.ts';

/** What is turned on and off by app. */
export const APP_FEATURES = ['ssh', 'revisions', 'rolling-restarts'] as const;

type Feature = (typeof APP_FEATURES)[number];
type Features = Pick<App, (typeof COLUMN)[Feature]>;

const COLUMN = {
  ssh: 'ssh_enabled',
  revisions: 'revisions_enabled',
  'rolling-restarts': 'rolling_restarts_enabled',
} as const;
const DESCRIPTION = {
  ssh: 'Enable SSHing into the app.',
  revisions: 'Enable versioning of an application',
  'rolling-restarts': 'Keep old instances serving while new ones start when the app is restarted or stopped.',
} as const;

/** Throws ResourceNotFound where there is none of this name. */
export function featureNamed(name: string): Feature {
  const found = APP_FEATURES.find((feature) => feature === name);
  if (!found) throw notFound('Feature');
  return found;
}

export function featureView(app: Features, name: Feature): Static<typeof FeatureView> {
  return { name, description: DESCRIPTION[name], enabled: app[COLUMN[name]] };
}

/** Those that differ from what the app has. */
export function changedFeatures(app: Features, wanted: Readonly<Record<string, boolean>>): Record<string, boolean> {
  const changed = APP_FEATURES.flatMap((name) => {
    const value = wanted[name];
    return value === undefined || value === app[COLUMN[name]] ? [] : [[name, value] as const];
  });
  return Object.fromEntries(changed);
}

/** Turns features on and off by name; names that are none are left alone. Gives what it wrote. */
export async function setFeatures(
  trx: Trx,
  guid: Guid<'app'>,
  features: Readonly<Record<string, boolean>>,
): Promise<Partial<Features>> {
  const columns: Partial<Features> = {};
  for (const name of APP_FEATURES) {
    const value = features[name];
    if (value !== undefined) columns[COLUMN[name]] = value;
  }
  if (Object.keys(columns).length > 0) await writeApp(trx, guid, columns);
  return columns;
}
