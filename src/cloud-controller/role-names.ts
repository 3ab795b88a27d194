/** What a person may be to the platform, to an organization, or to a space, in Cloud Foundry's words. */
export type GlobalRole = 'admin' | 'admin_read_only' | 'global_auditor';
export type OrganizationRole =
  | 'organization_user'
  | 'organization_auditor'
  | 'organization_manager'
  | 'organization_billing_manager';
export type SpaceRole = 'space_auditor' | 'space_developer' | 'space_manager' | 'space_supporter';
export type Role = GlobalRole | OrganizationRole | SpaceRole;

export const ORGANIZATION_ROLES = [
  'organization_user',
  'organization_auditor',
  'organization_manager',
  'organization_billing_manager',
] as const satisfies readonly OrganizationRole[];
export const SPACE_ROLES = [
  'space_auditor',
  'space_developer',
  'space_manager',
  'space_supporter',
] as const satisfies readonly SpaceRole[];
export const GLOBAL_ROLES = ['admin', 'admin_read_only', 'global_auditor'] as const satisfies readonly GlobalRole[];
export const ALL_ROLES: readonly Role[] = [...GLOBAL_ROLES, ...ORGANIZATION_ROLES, ...SPACE_ROLES];
