import { isUniqueViolation, unprocessable } from '../errors.ts';
import type { LimitsInput } from './schema.ts';

/** Limits; null means none. */
export interface LimitColumns {
  total_memory_mb: number | null;
  per_process_memory_mb: number | null;
  total_instances: number | null;
  per_app_tasks: number | null;
  log_rate_bytes_per_second: number | null;
  paid_services_allowed: boolean;
  total_service_instances: number | null;
  total_service_keys: number | null;
  total_routes: number | null;
  total_reserved_ports: number | null;
}

/** The limits a request names. */
export function limitColumns({ apps = {}, services = {}, routes = {} }: LimitsInput): Partial<LimitColumns> {
  return {
    total_memory_mb: apps.total_memory_in_mb,
    per_process_memory_mb: apps.per_process_memory_in_mb,
    total_instances: apps.total_instances,
    per_app_tasks: apps.per_app_tasks,
    log_rate_bytes_per_second: apps.log_rate_limit_in_bytes_per_second,
    paid_services_allowed: services.paid_services_allowed,
    total_service_instances: services.total_service_instances,
    total_service_keys: services.total_service_keys,
    total_routes: routes.total_routes,
    total_reserved_ports: routes.total_reserved_ports,
  };
}

/** Of a new quota: what a request does not name is unlimited. */
export function newLimits(input: LimitsInput) {
  return { ...limitColumns(input), paid_services_allowed: input.services?.paid_services_allowed ?? true };
}

/** Writes a quota of this name. The CLI recognises a taken name by the sentence. Throws UnprocessableEntity. */
export async function naming<Result>(
  kind: 'Organization' | 'Space',
  name: string,
  write: () => Promise<Result>,
): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    const constraint = kind === 'Organization' ? 'organization_quotas_name_key' : 'space_quotas_name_key';
    throw isUniqueViolation(error, constraint) ? unprocessable(`${kind} Quota '${name}' already exists.`) : error;
  }
}
