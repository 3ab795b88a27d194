import type { Db } from '../database.ts';
import { CfError } from '../errors.ts';

/** What an installation allows, with the state it has until somebody changes it. Names and defaults: v3 API reference. */
export const FEATURE_FLAGS = {
  app_bits_upload: true,
  app_scaling: true,
  diego_cnb: false,
  diego_docker: false,
  env_var_visibility: true,
  hide_marketplace_from_unauthenticated_users: false,
  private_domain_creation: true,
  resource_matching: true,
  route_creation: true,
  route_sharing: false,
  service_instance_creation: true,
  service_instance_sharing: false,
  set_roles_by_username: true,
  space_developer_env_var_visibility: true,
  space_scoped_private_broker_creation: true,
  task_creation: true,
  unset_roles_by_username: true,
  user_org_creation: false,
} as const;

export type FeatureFlagName = keyof typeof FEATURE_FLAGS;

/** A flag that was changed; the others stand at their default. */
export interface FeatureFlagTable {
  name: string;
  enabled: boolean;
  custom_error_message: string | null;
  updated_at: Date;
}

export function isFeatureFlagName(name: string): name is FeatureFlagName {
  return Object.hasOwn(FEATURE_FLAGS, name);
}

export async function isFeatureEnabled(db: Db, name: FeatureFlagName): Promise<boolean> {
  const row = await db.selectFrom('feature_flags').select('enabled').where('name', '=', name).executeTakeFirst();
  return row?.enabled ?? FEATURE_FLAGS[name];
}

/** Passes where the flag is on; throws FeatureDisabled with the operator's own words if there are any. */
export async function requireFeature(db: Db, name: FeatureFlagName): Promise<void> {
  const row = await db.selectFrom('feature_flags').selectAll().where('name', '=', name).executeTakeFirst();
  if (row?.enabled ?? FEATURE_FLAGS[name]) return;
  throw new CfError('FeatureDisabled', `Feature Disabled: ${row?.custom_error_message ?? name}`);
}
