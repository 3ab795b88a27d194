import { type Db, now, type Trx } from '../database.ts';
import { CfError } from '../errors.ts';
import { FEATURE_FLAGS, type FeatureFlagName, isFeatureFlagName } from './flags.ts';

declare module '../database.ts' {
  interface Database {
    feature_flags: FeatureFlagTable;
  }
}

/** A flag that was changed; the others stand at their default. */
export interface FeatureFlagTable {
  name: string;
  enabled: boolean;
  custom_error_message: string | null;
  updated_at: Date;
}

/** A flag as it stands; `updated_at` is null while nobody changed it. */
export interface FeatureFlag {
  name: FeatureFlagName;
  enabled: boolean;
  custom_error_message: string | null;
  updated_at: Date | null;
}

export async function findFeatureFlag(db: Db, name: string): Promise<FeatureFlag | null> {
  if (!isFeatureFlagName(name)) return null;
  const changed = await db.selectFrom('feature_flags').selectAll().where('name', '=', name).executeTakeFirst();
  return asItStands(name, changed);
}

/** All there are, by name. */
export async function allFeatureFlags(db: Db): Promise<FeatureFlag[]> {
  const rows = await db.selectFrom('feature_flags').selectAll().execute();
  const changed = new Map(rows.map((row) => [row.name, row]));
  const names = Object.keys(FEATURE_FLAGS).filter(isFeatureFlagName).sort();
  return names.map((name) => asItStands(name, changed.get(name)));
}

function asItStands(name: FeatureFlagName, changed: FeatureFlagTable | undefined): FeatureFlag {
  const untouched = { enabled: FEATURE_FLAGS[name], custom_error_message: null, updated_at: null };
  return { ...untouched, ...changed, name };
}

/** What is not named of it stays as it is; without a message it has none any more. */
export async function setFeatureFlag(
  trx: Trx,
  name: FeatureFlagName,
  changes: { enabled?: boolean | undefined; custom_error_message?: string | null | undefined },
): Promise<FeatureFlag> {
  const { enabled, custom_error_message = null } = changes;
  const row = await trx
    .insertInto('feature_flags')
    .values({ name, enabled: enabled ?? FEATURE_FLAGS[name], custom_error_message, updated_at: now })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ enabled, custom_error_message, updated_at: now }))
    .returningAll()
    .executeTakeFirstOrThrow();
  return asItStands(name, row);
}

export async function isFeatureEnabled(db: Db, name: FeatureFlagName): Promise<boolean> {
  return (await findFeatureFlag(db, name))?.enabled ?? false;
}

/** Passes where the flag is on; throws FeatureDisabled with the operator's own words if there are any. */
export async function requireFeature(db: Db, name: FeatureFlagName): Promise<void> {
  const flag = await findFeatureFlag(db, name);
  if (flag?.enabled) return;
  throw new CfError('FeatureDisabled', `Feature Disabled: ${flag?.custom_error_message ?? name}`);
}
