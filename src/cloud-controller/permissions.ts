import type { FeatureFlagName } from './feature-flags/flags.ts';
import { ALL_ROLES, GLOBAL_ROLES, type GlobalRole, type Role, SPACE_ROLES } from './role-names.ts';

/**
 * Who may call which operation: every route of the API stands here, and one that does not cannot be registered.
 * Facts: "Permitted roles" of each operation in the v3 API reference.
 *
 * `see`: whoever holds one of these roles at the resource sees it; to everybody else it is not there (404, RBAC-02).
 * `may`: of those who see it, who may do this; the others get 403 (RBAC-04).
 * A role counts only in its own organization or space (RBAC-03); an organization's roles count in its spaces.
 */
export type Permission = Scope & {
  /** For everybody but the admin only while this feature flag is on, or all of these; else FeatureDisabled. */
  whileOn?: FeatureFlagName | readonly FeatureFlagName[];
  /** The admin's alone, unless this feature flag is on. */
  adminsUnless?: FeatureFlagName;
};

type Scope =
  /** No token asked. */
  | { scope: 'public' }
  /** Whoever has a token with the scope to read or write. What they see of it, the operation says. */
  | { scope: 'token' }
  /** Belongs to no organization: only these, everybody else gets 403. */
  | { scope: 'platform'; may: readonly Role[] }
  /**
   * Gives only what lies in an organization or space where the caller has one of these roles. With `may`, of what they see
   * only these do this.
   */
  | { scope: 'list'; see: readonly Role[]; seeInSpaces: readonly Role[]; may?: readonly GlobalRole[] }
  | { scope: 'organization' | 'space'; see: readonly Role[]; may: readonly Role[] }
  /** Lies in an organization or in a space, and each has its own rule. */
  | { scope: 'either'; organization: Rule; space: Rule };

export interface Rule {
  see: readonly Role[];
  may: readonly Role[];
}

/** Everybody with a role in the organization or one of its spaces. */
const MEMBERS = ALL_ROLES;
/** Who sees a space and what is in it. */
export const SPACE = [...GLOBAL_ROLES, 'organization_manager', ...SPACE_ROLES] as const;

/** Who sees routes. */
const ROUTES = [...SPACE, 'organization_auditor'] as const;
/** Who sees the domains of an organization. */
const DOMAINS = ROUTES;
/** Who sees audit events of an organization and all its spaces, and who those of a space: no manager as such. */
const ORGANIZATION_EVENTS = [...GLOBAL_ROLES, 'organization_auditor'] as const;
const EVENTS = [...ORGANIZATION_EVENTS, 'space_auditor', 'space_developer', 'space_supporter'] as const;
const ORG_MANAGER = ['admin', 'organization_manager'] as const;
const SPACE_MANAGER = ['admin', 'organization_manager', 'space_manager'] as const;
const DEVELOPER = ['admin', 'space_developer'] as const;
const OPERATOR = ['admin', 'space_developer', 'space_supporter'] as const;
const SECRETS = ['admin', 'admin_read_only', 'space_developer'] as const;
const ENVIRONMENT = [...SECRETS, 'space_supporter'] as const;
/** An operator may hide apps' variables from everybody. */
const VARIABLES_SHOWN = ['env_var_visibility', 'space_developer_env_var_visibility'] as const;

const PUBLIC = { scope: 'public' } as const;
const TOKEN = { scope: 'token' } as const;
const ADMIN = { scope: 'platform', may: ['admin'] } as const;

function list(see: readonly Role[], seeInSpaces: readonly Role[] = see) {
  return { scope: 'list', see, seeInSpaces } as const;
}
function organization(rule: Rule) {
  return { scope: 'organization', ...rule } as const;
}
function space(rule: Rule) {
  return { scope: 'space', ...rule } as const;
}
function either(rules: { organization: Rule; space: Rule }) {
  return { scope: 'either', ...rules } as const;
}

export const PERMISSIONS = {
  // The API itself
  'GET /': PUBLIC,
  'GET /v2/info': PUBLIC,
  'GET /v3': PUBLIC,
  'GET /v3/info': PUBLIC,
  'GET /v3/openapi.json': PUBLIC,
  'GET /v3/jobs/:guid': TOKEN,

  // Organizations
  'GET /v3/organizations': list(MEMBERS),
  'POST /v3/organizations': { ...TOKEN, adminsUnless: 'user_org_creation' },
  'GET /v3/organizations/:guid': organization({ see: MEMBERS, may: MEMBERS }),
  'PATCH /v3/organizations/:guid': organization({ see: MEMBERS, may: ORG_MANAGER }),
  'DELETE /v3/organizations/:guid': organization({ see: MEMBERS, may: ['admin'] }),
  'GET /v3/organizations/:guid/usage_summary': organization({ see: MEMBERS, may: MEMBERS }),
  'GET /v3/organizations/:guid/users': organization({ see: MEMBERS, may: MEMBERS }),
  'GET /v3/organizations/:guid/domains': organization({ see: MEMBERS, may: MEMBERS }),
  'GET /v3/organizations/:guid/domains/default': organization({ see: MEMBERS, may: MEMBERS }),
  'GET /v3/organizations/:guid/relationships/default_isolation_segment': organization({ see: MEMBERS, may: MEMBERS }),
  'PATCH /v3/organizations/:guid/relationships/default_isolation_segment': organization({
    see: MEMBERS,
    may: ORG_MANAGER,
  }),

  // Organization quotas: everybody sees them, each with the organizations they may see.
  'GET /v3/organization_quotas': TOKEN,
  'POST /v3/organization_quotas': ADMIN,
  'GET /v3/organization_quotas/:guid': TOKEN,
  'PATCH /v3/organization_quotas/:guid': ADMIN,
  'DELETE /v3/organization_quotas/:guid': ADMIN,
  'POST /v3/organization_quotas/:guid/relationships/organizations': ADMIN,

  // Spaces
  'GET /v3/spaces': list(SPACE),
  'POST /v3/spaces': organization({ see: MEMBERS, may: ORG_MANAGER }),
  'GET /v3/spaces/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/spaces/:guid': space({ see: SPACE, may: SPACE_MANAGER }),
  'DELETE /v3/spaces/:guid': space({ see: SPACE, may: ORG_MANAGER }),
  'GET /v3/spaces/:guid/users': space({ see: SPACE, may: SPACE }),
  'GET /v3/spaces/:guid/usage_summary': space({ see: SPACE, may: SPACE }),
  'GET /v3/spaces/:guid/features': space({ see: SPACE, may: SPACE }),
  'GET /v3/spaces/:guid/features/:name': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/spaces/:guid/features/:name': space({ see: SPACE, may: SPACE_MANAGER }),
  'GET /v3/spaces/:guid/relationships/isolation_segment': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/spaces/:guid/relationships/isolation_segment': space({ see: SPACE, may: ORG_MANAGER }),
  'GET /v3/spaces/:guid/running_security_groups': space({ see: SPACE, may: SPACE }),
  'GET /v3/spaces/:guid/staging_security_groups': space({ see: SPACE, may: SPACE }),
  'DELETE /v3/spaces/:guid/routes': space({ see: SPACE, may: OPERATOR }),
  'POST /v3/spaces/:guid/manifest_diff': space({ see: SPACE, may: DEVELOPER }),
  'POST /v3/spaces/:guid/actions/apply_manifest': space({ see: SPACE, may: DEVELOPER }),

  // Space quotas: seen by the organization's manager, and by those in a space it is applied to.
  'GET /v3/space_quotas': list([...GLOBAL_ROLES, 'organization_manager'], SPACE),
  'POST /v3/space_quotas': organization({ see: MEMBERS, may: ORG_MANAGER }),
  'GET /v3/space_quotas/:guid': organization({ see: SPACE, may: SPACE }),
  'PATCH /v3/space_quotas/:guid': organization({ see: SPACE, may: ORG_MANAGER }),
  'DELETE /v3/space_quotas/:guid': organization({ see: SPACE, may: ORG_MANAGER }),
  'POST /v3/space_quotas/:guid/relationships/spaces': organization({ see: SPACE, may: ORG_MANAGER }),
  'DELETE /v3/space_quotas/:guid/relationships/spaces/:space_guid': organization({ see: SPACE, may: ORG_MANAGER }),

  // Roles in an organization are its manager's to give, those in a space also the space manager's.
  'GET /v3/roles': list(MEMBERS, SPACE),
  'POST /v3/roles': either({
    organization: { see: MEMBERS, may: ORG_MANAGER },
    space: { see: SPACE, may: SPACE_MANAGER },
  }),
  'GET /v3/roles/:guid': either({
    organization: { see: MEMBERS, may: MEMBERS },
    space: { see: SPACE, may: SPACE },
  }),
  'DELETE /v3/roles/:guid': either({
    organization: { see: MEMBERS, may: ORG_MANAGER },
    space: { see: SPACE, may: SPACE_MANAGER },
  }),

  // Users: everybody sees themselves and those who share an organization with them.
  'GET /v3/users': list(MEMBERS),
  'POST /v3/users': ADMIN,
  'GET /v3/users/:guid': list(MEMBERS),
  'PATCH /v3/users/:guid': ADMIN,
  'DELETE /v3/users/:guid': ADMIN,

  // Domains. Shared ones everybody sees and the admin changes.
  'GET /v3/domains': list(DOMAINS),
  'POST /v3/domains': { ...organization({ see: MEMBERS, may: ORG_MANAGER }), whileOn: 'private_domain_creation' },
  'GET /v3/domains/:guid': organization({ see: DOMAINS, may: DOMAINS }),
  'PATCH /v3/domains/:guid': organization({ see: DOMAINS, may: ORG_MANAGER }),
  'DELETE /v3/domains/:guid': organization({ see: DOMAINS, may: ORG_MANAGER }),
  'GET /v3/domains/:guid/route_reservations': organization({ see: DOMAINS, may: DOMAINS }),
  'GET /v3/domains/:guid/relationships/shared_organizations': organization({ see: DOMAINS, may: DOMAINS }),
  'POST /v3/domains/:guid/relationships/shared_organizations': organization({ see: DOMAINS, may: ORG_MANAGER }),
  'DELETE /v3/domains/:guid/relationships/shared_organizations/:org_guid': organization({
    see: DOMAINS,
    may: ORG_MANAGER,
  }),

  // Routes
  'GET /v3/routes': list(ROUTES),
  'POST /v3/routes': { ...space({ see: SPACE, may: OPERATOR }), whileOn: 'route_creation' },
  'GET /v3/routes/:guid': space({ see: ROUTES, may: ROUTES }),
  'PATCH /v3/routes/:guid': space({ see: ROUTES, may: OPERATOR }),
  'DELETE /v3/routes/:guid': space({ see: ROUTES, may: OPERATOR }),
  'GET /v3/routes/:guid/destinations': space({ see: ROUTES, may: ROUTES }),
  'POST /v3/routes/:guid/destinations': space({ see: ROUTES, may: OPERATOR }),
  'PATCH /v3/routes/:guid/destinations': space({ see: ROUTES, may: OPERATOR }),
  'PATCH /v3/routes/:guid/destinations/:destination_guid': space({ see: ROUTES, may: OPERATOR }),
  'DELETE /v3/routes/:guid/destinations/:destination_guid': space({ see: ROUTES, may: OPERATOR }),
  'GET /v3/routes/:guid/relationships/shared_spaces': space({ see: ROUTES, may: ROUTES }),

  // Security groups: globally enabled ones everybody sees, others whoever sees a space they are applied to.
  'GET /v3/security_groups': list(SPACE),
  'POST /v3/security_groups': ADMIN,
  'GET /v3/security_groups/:guid': list(SPACE),
  'PATCH /v3/security_groups/:guid': { ...list(SPACE), may: ['admin'] },
  'DELETE /v3/security_groups/:guid': { ...list(SPACE), may: ['admin'] },
  'POST /v3/security_groups/:guid/relationships/running_spaces': space({ see: SPACE, may: SPACE_MANAGER }),
  'DELETE /v3/security_groups/:guid/relationships/running_spaces/:space_guid': space({
    see: SPACE,
    may: SPACE_MANAGER,
  }),
  'POST /v3/security_groups/:guid/relationships/staging_spaces': space({ see: SPACE, may: SPACE_MANAGER }),
  'DELETE /v3/security_groups/:guid/relationships/staging_spaces/:space_guid': space({
    see: SPACE,
    may: SPACE_MANAGER,
  }),

  // Isolation segments: seen where an organization of the caller is entitled to them.
  'GET /v3/isolation_segments': list(MEMBERS),
  'POST /v3/isolation_segments': ADMIN,
  'GET /v3/isolation_segments/:guid': list(MEMBERS),
  'PATCH /v3/isolation_segments/:guid': ADMIN,
  'DELETE /v3/isolation_segments/:guid': ADMIN,
  'GET /v3/isolation_segments/:guid/organizations': list(MEMBERS),
  'GET /v3/isolation_segments/:guid/relationships/organizations': list(MEMBERS),
  'POST /v3/isolation_segments/:guid/relationships/organizations': ADMIN,
  'DELETE /v3/isolation_segments/:guid/relationships/organizations/:org_guid': ADMIN,
  'GET /v3/isolation_segments/:guid/relationships/spaces': list(MEMBERS, SPACE),

  // Settings of the foundation
  'GET /v3/feature_flags': TOKEN,
  'GET /v3/feature_flags/:name': TOKEN,
  'PATCH /v3/feature_flags/:name': ADMIN,
  'GET /v3/environment_variable_groups/:name': TOKEN,
  'PATCH /v3/environment_variable_groups/:name': ADMIN,

  // Audit events
  'GET /v3/audit_events': list(ORGANIZATION_EVENTS, EVENTS),
  'GET /v3/audit_events/:guid': list(ORGANIZATION_EVENTS, EVENTS),

  // Services
  'GET /v3/service_instances': list(SPACE),
  'GET /v3/service_instances/:guid': list(SPACE),
  'GET /v3/service_credential_bindings': list(SPACE),
  'GET /v3/service_credential_bindings/:guid': list(SPACE),
  'GET /v3/service_route_bindings': list(SPACE),
  'GET /v3/service_route_bindings/:guid': list(SPACE),
  'GET /v3/service_brokers': TOKEN,
  'GET /v3/service_offerings': TOKEN,
  'GET /v3/service_plans': TOKEN,

  // Apps
  'GET /v3/apps': list(SPACE),
  'POST /v3/apps': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/apps/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/apps/:guid': space({ see: SPACE, may: DEVELOPER }),
  'DELETE /v3/apps/:guid': space({ see: SPACE, may: DEVELOPER }),
  'POST /v3/apps/:guid/actions/start': space({ see: SPACE, may: OPERATOR }),
  'POST /v3/apps/:guid/actions/stop': space({ see: SPACE, may: OPERATOR }),
  'POST /v3/apps/:guid/actions/restart': space({ see: SPACE, may: OPERATOR }),
  'POST /v3/apps/:guid/actions/clear_buildpack_cache': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/apps/:guid/env': { ...space({ see: SPACE, may: ENVIRONMENT }), whileOn: VARIABLES_SHOWN },
  'GET /v3/apps/:guid/environment_variables': { ...space({ see: SPACE, may: ENVIRONMENT }), whileOn: VARIABLES_SHOWN },
  'PATCH /v3/apps/:guid/environment_variables': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/apps/:guid/features': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/features/:name': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/apps/:guid/features/:name': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/apps/:guid/ssh_enabled': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/permissions': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/manifest': space({ see: SPACE, may: SECRETS }),
  'GET /v3/apps/:guid/routes': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/relationships/current_droplet': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/apps/:guid/relationships/current_droplet': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/apps/:guid/droplets/current': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/droplets': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/packages': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/builds': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/revisions': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/revisions/deployed': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/sidecars': space({ see: SPACE, may: SPACE }),
  'POST /v3/apps/:guid/sidecars': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/apps/:guid/tasks': space({ see: SPACE, may: SPACE }),
  'POST /v3/apps/:guid/tasks': { ...space({ see: SPACE, may: DEVELOPER }), whileOn: 'task_creation' },

  // Processes
  'GET /v3/apps/:guid/processes': space({ see: SPACE, may: SPACE }),
  'GET /v3/apps/:guid/processes/:type': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/apps/:guid/processes/:type': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/apps/:guid/processes/:type/stats': space({ see: SPACE, may: SPACE }),
  'POST /v3/apps/:guid/processes/:type/actions/scale': {
    ...space({ see: SPACE, may: OPERATOR }),
    whileOn: 'app_scaling',
  },
  'DELETE /v3/apps/:guid/processes/:type/instances/:index': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/processes': list(SPACE),
  'GET /v3/processes/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/processes/:guid': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/processes/:guid/stats': space({ see: SPACE, may: SPACE }),
  'GET /v3/processes/:guid/process_instances': space({ see: SPACE, may: SPACE }),
  'GET /v3/processes/:guid/sidecars': space({ see: SPACE, may: SPACE }),
  'POST /v3/processes/:guid/actions/scale': { ...space({ see: SPACE, may: OPERATOR }), whileOn: 'app_scaling' },
  'DELETE /v3/processes/:guid/instances/:index': space({ see: SPACE, may: OPERATOR }),

  // Packages, builds, droplets, revisions
  'GET /v3/packages': list(SPACE),
  'POST /v3/packages': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/packages/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/packages/:guid': space({ see: SPACE, may: DEVELOPER }),
  'DELETE /v3/packages/:guid': space({ see: SPACE, may: DEVELOPER }),
  'POST /v3/packages/:guid/upload': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/packages/:guid/download': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/packages/:guid/droplets': space({ see: SPACE, may: SPACE }),
  'POST /v3/resource_matches': TOKEN,
  'GET /v3/builds': list(SPACE),
  'POST /v3/builds': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/builds/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/builds/:guid': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/droplets': list(SPACE),
  'POST /v3/droplets': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/droplets/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/droplets/:guid': space({ see: SPACE, may: DEVELOPER }),
  'DELETE /v3/droplets/:guid': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/droplets/:guid/download': space({
    see: SPACE,
    may: [...GLOBAL_ROLES, 'organization_manager', 'space_auditor', 'space_developer', 'space_manager'],
  }),
  'POST /v3/droplets/:guid/upload': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/revisions/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/revisions/:guid': space({ see: SPACE, may: DEVELOPER }),
  'GET /v3/revisions/:guid/environment_variables': { ...space({ see: SPACE, may: SECRETS }), whileOn: VARIABLES_SHOWN },

  // Deployments, tasks, sidecars
  'GET /v3/deployments': list(SPACE),
  'POST /v3/deployments': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/deployments/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/deployments/:guid': space({ see: SPACE, may: DEVELOPER }),
  'POST /v3/deployments/:guid/actions/cancel': space({ see: SPACE, may: OPERATOR }),
  'POST /v3/deployments/:guid/actions/continue': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/tasks': list(SPACE),
  'GET /v3/tasks/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/tasks/:guid': space({ see: SPACE, may: DEVELOPER }),
  'POST /v3/tasks/:guid/actions/cancel': space({ see: SPACE, may: OPERATOR }),
  'PUT /v3/tasks/:guid/cancel': space({ see: SPACE, may: OPERATOR }),
  'GET /v3/sidecars/:guid': space({ see: SPACE, may: SPACE }),
  'PATCH /v3/sidecars/:guid': space({ see: SPACE, may: DEVELOPER }),
  'DELETE /v3/sidecars/:guid': space({ see: SPACE, may: DEVELOPER }),

  // Buildpacks and stacks
  'GET /v3/buildpacks': TOKEN,
  'POST /v3/buildpacks': ADMIN,
  'GET /v3/buildpacks/:guid': TOKEN,
  'PATCH /v3/buildpacks/:guid': ADMIN,
  'DELETE /v3/buildpacks/:guid': ADMIN,
  'POST /v3/buildpacks/:guid/upload': ADMIN,
  'POST /v3/admin/actions/clear_buildpack_cache': ADMIN,
  'GET /v3/stacks': TOKEN,
  'GET /v3/stacks/:guid': TOKEN,
  'PATCH /v3/stacks/:guid': ADMIN,
  'GET /v3/stacks/:guid/apps': list(SPACE),
} as const satisfies Readonly<Record<string, Permission>>;

/**
 * Fields that not everybody who may call an operation sees or sets. To the others they are hidden, in whatever answer they
 * stand, or refused with 403. A list over several apps hides them from everybody.
 */
export const FIELDS = {
  // Setting it, when an organization is made and later.
  'organization.suspended': ['admin'],
  // In the list of an organization's domains.
  'organization.private_domains': DOMAINS,
  // Making a domain that belongs to no organization.
  'domain.shared': ['admin'],
  'process.command': SECRETS,
  'droplet.process_types': SECRETS,
  'droplet.execution_metadata': SECRETS,
  'task.command': SECRETS,
  // The reference shows these to whoever sees the app.
  'sidecar.command': SPACE,
  'revision.processes': SPACE,
  // Holds the credentials of bound services.
  'app.env.system_env_json': SECRETS,
  'app.permissions.read_sensitive_data': SECRETS,
  // Setting a feature of an app.
  'app.features.ssh': DEVELOPER,
  'app.features.revisions': OPERATOR,
  'app.features.rolling-restarts': DEVELOPER,
} as const satisfies Readonly<Record<string, readonly Role[]>>;

export type FieldId = keyof typeof FIELDS;

export type OperationId = keyof typeof PERMISSIONS;

export function permissionOf(id: OperationId): Permission {
  return PERMISSIONS[id];
}
