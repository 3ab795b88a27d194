import { Type } from 'typebox';
import type { LimitColumns } from './store.ts';

export const LimitView = Type.Union([Type.Integer(), Type.Null()], { title: 'Limit' });

/** What a quota of either kind limits, as a view shows it. */
export const LIMITS_VIEW = {
  apps: Type.Object({
    total_memory_in_mb: LimitView,
    per_process_memory_in_mb: LimitView,
    total_instances: LimitView,
    per_app_tasks: LimitView,
    log_rate_limit_in_bytes_per_second: LimitView,
  }),
  services: Type.Object({
    paid_services_allowed: Type.Boolean(),
    total_service_instances: LimitView,
    total_service_keys: LimitView,
  }),
  routes: Type.Object({ total_routes: LimitView, total_reserved_ports: LimitView }),
};

export function limitsView(quota: LimitColumns) {
  return {
    apps: {
      total_memory_in_mb: quota.total_memory_mb,
      per_process_memory_in_mb: quota.per_process_memory_mb,
      total_instances: quota.total_instances,
      per_app_tasks: quota.per_app_tasks,
      log_rate_limit_in_bytes_per_second: quota.log_rate_bytes_per_second,
    },
    services: {
      paid_services_allowed: quota.paid_services_allowed,
      total_service_instances: quota.total_service_instances,
      total_service_keys: quota.total_service_keys,
    },
    routes: { total_routes: quota.total_routes, total_reserved_ports: quota.total_reserved_ports },
  };
}
