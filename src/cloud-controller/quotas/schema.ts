import { type Static, Type } from 'typebox';
import { ResourceName } from '../names.ts';

const MAX_INTEGER = 2 ** 31 - 1;
export const Limit = Type.Optional(Type.Union([Type.Null(), Type.Integer({ minimum: 0, maximum: MAX_INTEGER })]));
/** A group of limits may be left out, but not be null. */
export const GROUP = { additionalProperties: false, nullRefused: true };

/** What a quota of either kind may limit, in a request. */
export const LIMITS = {
  apps: Type.Optional(
    Type.Object(
      {
        total_memory_in_mb: Limit,
        per_process_memory_in_mb: Limit,
        total_instances: Limit,
        per_app_tasks: Limit,
        log_rate_limit_in_bytes_per_second: Limit,
      },
      GROUP,
    ),
  ),
  services: Type.Optional(
    Type.Object(
      {
        paid_services_allowed: Type.Optional(Type.Boolean()),
        total_service_instances: Limit,
        total_service_keys: Limit,
      },
      GROUP,
    ),
  ),
  routes: Type.Optional(Type.Object({ total_routes: Limit, total_reserved_ports: Limit }, GROUP)),
};
export type LimitsInput = Static<ReturnType<typeof Type.Object<typeof LIMITS>>>;

export const QuotaName = ResourceName({ maxLength: 250 });
export const ChangedQuotaName = Type.Optional(ResourceName({ maxLength: 250, nullRefused: true }));
