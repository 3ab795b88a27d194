import { type Static, Type } from 'typebox';
import {
  ActionLink,
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  Timestamp,
  ToOneView,
  timestamp,
  toOne,
} from '../view.ts';
import { canaryPlan } from './plan.ts';
import { STATUS_REASONS, STATUS_VALUES, STRATEGIES } from './state.ts';
import type { Deployment } from './store.ts';

const OptionalInteger = Type.Optional(Type.Integer());
const DropletReference = Type.Object({ guid: Type.Union([Type.String(), Type.Null()]) });

const StatusView = Type.Object({
  value: Type.Enum(STATUS_VALUES),
  reason: Type.Enum(STATUS_REASONS),
  details: Type.Object({
    last_successful_healthcheck: Timestamp,
    last_status_change: Timestamp,
    error: Type.Optional(Type.String()),
  }),
  canary: Type.Optional(Type.Object({ steps: Type.Object({ current: Type.Integer(), total: Type.Integer() }) })),
});

const OptionsView = Type.Object({
  max_in_flight: Type.Integer(),
  web_instances: OptionalInteger,
  memory_in_mb: OptionalInteger,
  disk_in_mb: OptionalInteger,
  log_rate_limit_in_bytes_per_second: OptionalInteger,
  canary: Type.Optional(Type.Object({ steps: Type.Array(Type.Object({ instance_weight: Type.Integer() })) })),
});

export const DeploymentView = Type.Object(
  {
    ...IDENTITY,
    status: StatusView,
    strategy: Type.Enum(STRATEGIES),
    options: OptionsView,
    droplet: DropletReference,
    previous_droplet: DropletReference,
    new_processes: Type.Array(Type.Object({ guid: Type.String(), type: Type.String() })),
    revision: Type.Null(),
    relationships: Type.Object({ app: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      app: Link,
      cancel: Type.Optional(ActionLink),
      continue: Type.Optional(ActionLink),
    }),
  },
  { title: 'Deployment' },
);

export function deploymentView(links: Links, row: Deployment): Static<typeof DeploymentView> {
  const path = `/v3/deployments/${row.guid}`;
  return {
    ...identityView(row),
    status: statusView(row),
    strategy: row.strategy,
    options: optionsView(row),
    droplet: { guid: row.droplet_guid },
    previous_droplet: { guid: row.previous_droplet_guid },
    new_processes: [{ guid: row.new_process_guid, type: 'web' }],
    revision: null,
    relationships: { app: toOne(row.app_guid) },
    metadata: metadataView(row),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${row.app_guid}`),
      ...(row.status_value === 'ACTIVE' ? { cancel: links.action(`${path}/actions/cancel`, 'POST') } : {}),
      ...(row.status_reason === 'PAUSED' ? { continue: links.action(`${path}/actions/continue`, 'POST') } : {}),
    },
  };
}

function statusView(row: Deployment): Static<typeof StatusView> {
  const canary = { steps: { current: row.canary_step ?? 1, total: canaryPlan(row).length } };
  return {
    value: row.status_value,
    reason: row.status_reason,
    details: {
      // As in the reference, a deployment is healthy as it begins.
      last_successful_healthcheck: timestamp(row.last_healthy_at ?? row.created_at),
      last_status_change: timestamp(row.status_updated_at),
      ...(row.error === null ? {} : { error: row.error }),
    },
    ...(row.strategy === 'canary' ? { canary } : {}),
  };
}

/** What the deployment was asked for. */
function optionsView(row: Deployment): Static<typeof OptionsView> {
  const { web_instances, memory_mb, disk_mb, log_rate_limit, canary_steps } = row;
  const steps = canary_steps?.map((weight) => ({ instance_weight: weight }));
  return {
    max_in_flight: row.max_in_flight,
    ...(web_instances === null ? {} : { web_instances }),
    ...(memory_mb === null ? {} : { memory_in_mb: memory_mb }),
    ...(disk_mb === null ? {} : { disk_in_mb: disk_mb }),
    ...(log_rate_limit === null ? {} : { log_rate_limit_in_bytes_per_second: log_rate_limit }),
    ...(steps ? { canary: { steps } } : {}),
  };
}
