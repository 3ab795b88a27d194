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

export function isFeatureFlagName(name: string): name is FeatureFlagName {
  return Object.hasOwn(FEATURE_FLAGS, name);
}
