import { identityView, type Links, toMany, toOne } from '../view.ts';
import type { LimitColumns, OrganizationQuota, SpaceQuota } from './store.ts';

function limitsView(quota: LimitColumns) {
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

/** `visible` says which organizations the caller may know of. */
export function organizationQuotaView(links: Links, quota: OrganizationQuota, visible: (guid: string) => boolean) {
  return {
    ...identityView(quota),
    name: quota.name,
    ...limitsView(quota),
    domains: { total_domains: quota.total_domains },
    relationships: { organizations: toMany(quota.organization_guids.filter(visible)) },
    links: { self: links.to(`/v3/organization_quotas/${quota.guid}`) },
  };
}

/** `visible` says which spaces the caller may know of. */
export function spaceQuotaView(links: Links, quota: SpaceQuota, visible: (guid: string) => boolean) {
  return {
    ...identityView(quota),
    name: quota.name,
    ...limitsView(quota),
    relationships: {
      organization: toOne(quota.organization_guid),
      spaces: toMany(quota.space_guids.filter(visible)),
    },
    links: {
      self: links.to(`/v3/space_quotas/${quota.guid}`),
      organization: links.to(`/v3/organizations/${quota.organization_guid}`),
    },
  };
}
