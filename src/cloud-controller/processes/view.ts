import { metadataView } from '../apps/view.ts';
import { identityView, type Links, toOne } from '../view.ts';
import type { Process } from './store.ts';

const REDACTED = '[PRIVATE DATA HIDDEN IN LISTS]';

/** `detected`: what the droplet says it starts with. Lists hide the command, which may carry secrets. */
export function processView(
  links: Links,
  process: Process,
  detected: string | null,
  options: { inList: boolean; spaceGuid: string | null } = { inList: false, spaceGuid: null },
): Record<string, unknown> {
  const path = `/v3/processes/${process.guid}`;
  const command = process.command ?? detected;
  return {
    ...identityView(process),
    version: process.version,
    type: process.type,
    command: options.inList && command !== null ? REDACTED : command,
    user: 'vcap',
    instances: process.instances,
    memory_in_mb: process.memory_mb,
    disk_in_mb: process.disk_mb,
    log_rate_limit_in_bytes_per_second: process.log_rate_limit,
    health_check: {
      type: process.health_check_type,
      data: {
        timeout: process.health_check_timeout,
        invocation_timeout: process.health_check_invocation_timeout,
        interval: process.health_check_interval,
        ...(process.health_check_type === 'http' ? { endpoint: process.health_check_endpoint } : {}),
      },
    },
    readiness_health_check: {
      type: process.readiness_type,
      data: {
        invocation_timeout: process.readiness_invocation_timeout,
        interval: process.readiness_interval,
        ...(process.readiness_type === 'http' ? { endpoint: process.readiness_endpoint } : {}),
      },
    },
    relationships: {
      app: toOne(process.app_guid),
      revision: process.revision_guid === null ? null : toOne(process.revision_guid),
    },
    metadata: metadataView(process),
    links: {
      self: links.to(path),
      scale: links.action(`${path}/actions/scale`, 'POST'),
      app: links.to(`/v3/apps/${process.app_guid}`),
      ...(options.spaceGuid === null ? {} : { space: links.to(`/v3/spaces/${options.spaceGuid}`) }),
      stats: links.to(`${path}/stats`),
      process_instances: links.to(`${path}/process_instances`),
    },
  };
}
