import { type Static, type TSchema, Type } from 'typebox';
import type { OrganizationRole, SpaceRole } from '../role-names.ts';

/** A kind of event: what it is about, and what its data say, before secrets are hidden in them. */
interface Kind {
  target: string;
  data: TSchema;
  /** It belongs to no change in the database: who saw it happen, as the page says it. */
  observed?: string;
}

const Guid = Type.String();
/** What a client sent, or as much of it as changed something. */
const Body = Type.Record(Type.String(), Type.Unknown());
const Nothing = Type.Unsafe<Record<string, never>>(Type.Object({}, { additionalProperties: false }));
/** Made or changed by a manifest, and not by a request of its own. */
const manifest_triggered = Type.Optional(Type.Literal(true));

const Requested = Type.Object({ request: Body });
/** A deletion takes with it what belongs to what is deleted. */
const Deleted = Type.Object({ request: Nothing });
const DeletedWithAll = Type.Object({ request: Type.Object({ recursive: Type.Literal(true) }) });
const ByManifestToo = Type.Object({ request: Body, manifest_triggered });
const OfPackage = Type.Object({ package_guid: Guid });
const OfDroplet = Type.Object({ droplet_guid: Guid });
const OfTask = Type.Object({ task_guid: Guid });
const OfDeployment = Type.Object({ deployment_guid: Guid });
const PROCESS = { process_guid: Guid, process_type: Type.String() };
/** What the request said stands among the rest. */
const Updated = Type.Object({ ...PROCESS, manifest_triggered }, { additionalProperties: Type.Unknown() });
const UpdatedProcess = Type.Unsafe<Static<typeof Updated> & Record<string, unknown>>(Updated);
const INSTANCE = { instance: Guid, index: Type.Integer(), cell_id: Type.String() };
const Crashed = Type.Object({
  ...INSTANCE,
  reason: Type.Literal('CRASHED'),
  exit_description: Type.String(),
  crash_count: Type.Integer(),
});
const Readiness = Type.Object({ ...INSTANCE, ready: Type.Boolean(), version: Type.String() });
const Mapping = Type.Object({
  route_guid: Guid,
  app_port: Type.Integer(),
  process_type: Type.String(),
  protocol: Type.String(),
  weight: Type.Null(),
});
const OfSession = Type.Object({ index: Type.Integer() });
const BoundSpaces = Type.Object({ request: Type.Object({ space_guids: Type.Array(Guid) }) });
const UnboundSpace = Type.Object({ request: Type.Object({ space_guid: Guid }) });

const APP = { target: 'app' } as const;
const SHOWN = { ...APP, observed: 'the Cloud Controller, as it shows it' } as const;
const SESSION = { ...APP, observed: 'the Cloud Controller, as the SSH proxy asks' } as const;
/** What became of an instance. */
const AT_CELL = { ...APP, observed: 'the cell, by way of Diego' } as const;
const BUILDPACK = { target: 'buildpack' } as const;
const DOMAIN = { target: 'domain' } as const;
const SEGMENT = { target: 'isolation_segment' } as const;
const ORGANIZATION = { target: 'organization' } as const;
const ORGANIZATION_QUOTA = { target: 'organization_quota' } as const;
const ROUTE = { target: 'route' } as const;
const SECURITY_GROUP = { target: 'security_group' } as const;
const SPACE = { target: 'space' } as const;
const SPACE_QUOTA = { target: 'space_quota' } as const;
const USER = { target: 'user' } as const;
const GIVEN = { ...USER, data: Requested } as const;
const TAKEN = { ...USER, data: Nothing } as const;

/** That a user was given a role, or that it was taken from them. */
const ROLE_EVENTS = {
  'audit.user.organization_user_add': GIVEN,
  'audit.user.organization_user_remove': TAKEN,
  'audit.user.organization_auditor_add': GIVEN,
  'audit.user.organization_auditor_remove': TAKEN,
  'audit.user.organization_manager_add': GIVEN,
  'audit.user.organization_manager_remove': TAKEN,
  'audit.user.organization_billing_manager_add': GIVEN,
  'audit.user.organization_billing_manager_remove': TAKEN,
  'audit.user.space_auditor_add': GIVEN,
  'audit.user.space_auditor_remove': TAKEN,
  'audit.user.space_developer_add': GIVEN,
  'audit.user.space_developer_remove': TAKEN,
  'audit.user.space_manager_add': GIVEN,
  'audit.user.space_manager_remove': TAKEN,
  'audit.user.space_supporter_add': GIVEN,
  'audit.user.space_supporter_remove': TAKEN,
} as const satisfies Record<`audit.user.${OrganizationRole | SpaceRole}_${'add' | 'remove'}`, Kind>;

/**
 * Every kind of audit event there is, as `GET /v3/audit_events` calls it. The words are Cloud Foundry's; of domains, security
 * groups, isolation segments, users, feature flags, groups of variables and ends of tasks it has none, and these are made like
 * the others. `docs/audit-events.md` is made of this.
 */
export const EVENTS = {
  'audit.app.create': { ...APP, data: ByManifestToo },
  'audit.app.update': { ...APP, data: ByManifestToo },
  'audit.app.delete-request': { ...APP, data: DeletedWithAll },
  'audit.app.start': { ...APP, data: Nothing },
  'audit.app.stop': { ...APP, data: Nothing },
  'audit.app.restart': { ...APP, data: Nothing },
  'audit.app.apply_manifest': {
    ...APP,
    data: Type.Object({ request: Type.Object({ applications: Type.Array(Type.String()) }) }),
  },
  'audit.app.map-route': { ...APP, data: Mapping },
  'audit.app.unmap-route': { ...APP, data: Mapping },
  'audit.app.environment.show': { ...SHOWN, data: Nothing },
  'audit.app.environment_variables.show': { ...SHOWN, data: Nothing },
  'audit.app.ssh-authorized': { ...SESSION, data: OfSession },
  'audit.app.ssh-unauthorized': { ...SESSION, data: OfSession },
  'audit.app.package.create': {
    ...APP,
    data: Type.Object({ package_guid: Guid, source_package_guid: Type.Optional(Guid), request: Body }),
  },
  'audit.app.package.update': { ...APP, data: Type.Object({ package_guid: Guid, request: Body }) },
  'audit.app.package.upload': { ...APP, data: OfPackage },
  'audit.app.package.download': { ...SHOWN, data: OfPackage },
  'audit.app.package.delete': { ...APP, data: OfPackage },
  'audit.app.build.create': { ...APP, data: Type.Object({ build_guid: Guid, package_guid: Guid }) },
  'audit.app.build.staged': {
    ...APP,
    data: Type.Object({ build_guid: Guid, package_guid: Guid, droplet_guid: Guid }),
  },
  'audit.app.build.failed': {
    ...APP,
    data: Type.Object({
      build_guid: Guid,
      package_guid: Guid,
      error_id: Type.String(),
      error_message: Type.String(),
    }),
  },
  'audit.app.droplet.create': {
    ...APP,
    data: Type.Object({
      droplet_guid: Guid,
      package_guid: Type.Optional(Guid),
      build_guid: Type.Optional(Guid),
    }),
  },
  'audit.app.droplet.upload': { ...APP, data: OfDroplet },
  'audit.app.droplet.download': { ...SHOWN, data: OfDroplet },
  'audit.app.droplet.delete': { ...APP, data: OfDroplet },
  'audit.app.droplet.mapped': {
    ...APP,
    data: Type.Object({ request: Type.Object({ droplet_guid: Type.Union([Guid, Type.Null()]) }) }),
  },
  'audit.app.process.create': { ...APP, data: Type.Object({ ...PROCESS, manifest_triggered }) },
  'audit.app.process.update': {
    ...APP,
    data: UpdatedProcess,
  },
  'audit.app.process.delete': { ...APP, data: Type.Object(PROCESS) },
  'audit.app.process.scale': { ...APP, data: Type.Object({ ...PROCESS, manifest_triggered, request: Body }) },
  'audit.app.process.terminate_instance': {
    ...APP,
    data: Type.Object({ ...PROCESS, process_index: Type.Integer() }),
  },
  // One crash is both: the newer kind has the process for its actor, the older one the app.
  'audit.app.process.crash': { ...AT_CELL, data: Crashed },
  'app.crash': { ...AT_CELL, data: Crashed },
  'audit.app.process.ready': { ...AT_CELL, data: Readiness },
  'audit.app.process.not-ready': { ...AT_CELL, data: Readiness },
  'audit.app.revision.create': {
    ...APP,
    data: Type.Object({ revision_guid: Guid, revision_version: Type.Integer() }),
  },
  'audit.app.revision.environment_variables.show': { ...SHOWN, data: Type.Object({ revision_guid: Guid }) },
  'audit.app.deployment.create': {
    ...APP,
    data: Type.Object({
      deployment_guid: Guid,
      droplet_guid: Guid,
      request: Type.Object({ strategy: Type.String() }),
    }),
  },
  'audit.app.deployment.cancel': { ...APP, data: OfDeployment },
  'audit.app.deployment.continue': { ...APP, data: OfDeployment },
  'audit.app.task.create': { ...APP, data: Type.Object({ task_guid: Guid, request: Body }) },
  'audit.app.task.cancel': { ...APP, data: OfTask },
  'audit.app.task.succeed': { ...APP, data: OfTask },
  'audit.app.task.fail': { ...APP, data: OfTask },

  'audit.buildpack.create': { ...BUILDPACK, data: Requested },
  'audit.buildpack.update': { ...BUILDPACK, data: Requested },
  'audit.buildpack.upload': { ...BUILDPACK, data: Type.Object({ request: Nothing }) },
  'audit.buildpack.delete': { ...BUILDPACK, data: Deleted },

  'audit.domain.create': { ...DOMAIN, data: Requested },
  'audit.domain.update': { ...DOMAIN, data: Requested },
  'audit.domain.share': { ...DOMAIN, data: Requested },
  'audit.domain.unshare': {
    ...DOMAIN,
    data: Type.Object({ request: Type.Object({ organization_guid: Guid }) }),
  },
  'audit.domain.delete-request': { ...DOMAIN, data: Deleted },

  'audit.environment_variable_group.update': { target: 'environment_variable_group', data: Requested },
  'audit.feature_flag.update': { target: 'feature_flag', data: Requested },

  'audit.isolation_segment.create': { ...SEGMENT, data: Requested },
  'audit.isolation_segment.update': { ...SEGMENT, data: Requested },
  'audit.isolation_segment.delete': { ...SEGMENT, data: Deleted },
  'audit.isolation_segment.entitle': { ...SEGMENT, data: Type.Object({ request: Nothing }) },
  'audit.isolation_segment.revoke': { ...SEGMENT, data: Type.Object({ request: Nothing }) },

  'audit.organization.create': { ...ORGANIZATION, data: Requested },
  'audit.organization.update': { ...ORGANIZATION, data: Requested },
  'audit.organization.delete-request': { ...ORGANIZATION, data: DeletedWithAll },

  'audit.organization_quota.create': { ...ORGANIZATION_QUOTA, data: Requested },
  'audit.organization_quota.update': { ...ORGANIZATION_QUOTA, data: Requested },
  'audit.organization_quota.delete': { ...ORGANIZATION_QUOTA, data: Deleted },
  'audit.organization_quota.apply': { ...ORGANIZATION_QUOTA, data: Requested },

  'audit.route.create': { ...ROUTE, data: Requested },
  'audit.route.update': { ...ROUTE, data: Requested },
  'audit.route.delete-request': {
    ...ROUTE,
    data: Type.Object({ request: Type.Object({ recursive: Type.Literal(true), url: Type.String() }) }),
  },

  'audit.security_group.create': { ...SECURITY_GROUP, data: Requested },
  'audit.security_group.update': { ...SECURITY_GROUP, data: Requested },
  'audit.security_group.delete': { ...SECURITY_GROUP, data: Deleted },
  'audit.security_group.apply_running': { ...SECURITY_GROUP, data: BoundSpaces },
  'audit.security_group.apply_staging': { ...SECURITY_GROUP, data: BoundSpaces },
  'audit.security_group.unapply_running': { ...SECURITY_GROUP, data: UnboundSpace },
  'audit.security_group.unapply_staging': { ...SECURITY_GROUP, data: UnboundSpace },

  'audit.space.create': { ...SPACE, data: Requested },
  'audit.space.update': { ...SPACE, data: Requested },
  'audit.space.delete-request': { ...SPACE, data: DeletedWithAll },

  'audit.space_quota.create': { ...SPACE_QUOTA, data: Requested },
  'audit.space_quota.update': { ...SPACE_QUOTA, data: Requested },
  'audit.space_quota.delete': { ...SPACE_QUOTA, data: Deleted },
  'audit.space_quota.apply': { ...SPACE_QUOTA, data: Requested },
  'audit.space_quota.remove': { ...SPACE_QUOTA, data: UnboundSpace },

  'audit.stack.update': { target: 'stack', data: Requested },

  'audit.user.create': { ...USER, data: Requested },
  'audit.user.update': { ...USER, data: Requested },
  'audit.user.delete': { ...USER, data: Deleted },
  ...ROLE_EVENTS,
} as const satisfies Readonly<Record<string, Kind>>;

/** What happened, as `GET /v3/audit_events` calls it. */
export type EventType = keyof typeof EVENTS;

/** The kinds that begin alike: `EventsOf<'audit.domain'>`. */
export type EventsOf<Prefix extends string> = Extract<EventType, `${Prefix}.${string}`>;

/** What an event of this kind says; of one of several kinds, what fits all of them. */
export type EventData<Type extends EventType> = (
  Type extends EventType
    ? (data: Static<(typeof EVENTS)[Type]['data']>) => void
    : never
) extends (data: infer Data extends Record<string, unknown>) => void
  ? Data
  : never;

/** What changes nothing here: something was shown or allowed, or it happened at another room. */
export type Observation = {
  [Type in EventType]: (typeof EVENTS)[Type] extends { observed: string } ? Type : never;
}[EventType];
