import { type Static, Type } from 'typebox';
import { ToMany, ToOne } from '../relationships.ts';

const MAX_INTEGER = 2 ** 31 - 1;
const Limit = Type.Optional(Type.Union([Type.Null(), Type.Integer({ minimum: 0, maximum: MAX_INTEGER })]));
const strict = { additionalProperties: false };

const limits = {
  apps: Type.Optional(
    Type.Object(
      {
        total_memory_in_mb: Limit,
        per_process_memory_in_mb: Limit,
        total_instances: Limit,
        per_app_tasks: Limit,
        log_rate_limit_in_bytes_per_second: Limit,
      },
      strict,
    ),
  ),
  services: Type.Optional(
    Type.Object(
      {
        paid_services_allowed: Type.Optional(Type.Boolean()),
        total_service_instances: Limit,
        total_service_keys: Limit,
      },
      strict,
    ),
  ),
  routes: Type.Optional(Type.Object({ total_routes: Limit, total_reserved_ports: Limit }, strict)),
};
const domains = Type.Optional(Type.Object({ total_domains: Limit }, strict));
const Name = Type.String({ minLength: 1, maxLength: 250 });

export const CreateOrganizationQuota = Type.Object(
  {
    name: Name,
    ...limits,
    domains,
    relationships: Type.Optional(Type.Object({ organizations: Type.Optional(ToMany) }, strict)),
  },
  strict,
);
export const UpdateOrganizationQuota = Type.Object({ name: Type.Optional(Name), ...limits, domains }, strict);
export const CreateSpaceQuota = Type.Object(
  {
    name: Name,
    ...limits,
    relationships: Type.Object({ organization: ToOne, spaces: Type.Optional(ToMany) }, strict),
  },
  strict,
);
export const UpdateSpaceQuota = Type.Object({ name: Type.Optional(Name), ...limits }, strict);

/** What create and update have in common. */
export type QuotaInput = Static<typeof UpdateOrganizationQuota>;
