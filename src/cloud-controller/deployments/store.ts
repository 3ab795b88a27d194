import type { Selectable } from 'kysely';
import { authorizeByApp, narrowByApp } from '../apps/belongings.ts';
import type { App } from '../apps/store.ts';
import type { DeploymentTable } from '../apps/tables.ts';
import { metadataView } from '../apps/view.ts';
import type { Visible } from '../authorization.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, timestamp, toOne } from '../view.ts';
import { canaryPlan } from './plan.ts';

export type Deployment = Selectable<DeploymentTable>;

export const deploymentQuery = {
  list: true,
  labels: true,
  filters: ['app_guids', 'states', 'status_values', 'status_reasons'],
} as const satisfies QueryRules;

export async function authorizedDeployment(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
): Promise<{ app: App; deployment: Deployment }> {
  const { db } = call.context;
  const deployment = await db.selectFrom('deployments').selectAll().where('guid', '=', guid).executeTakeFirst();
  const { app, row } = await authorizeByApp(call, deployment, notFound('Deployment'));
  return { app, deployment: row };
}

export async function listDeployments(db: Db, query: Query, visible: Visible): Promise<Page<Deployment>> {
  const joined = db
    .selectFrom('deployments')
    .innerJoin('apps', 'apps.guid', 'deployments.app_guid')
    .selectAll('deployments');
  let select = narrowByApp(joined, 'deployments', query, { visible });
  const values = query.filters.get('status_values');
  if (values) select = select.where('status_value', 'in', values as Deployment['status_value'][]);
  const reasons = query.filters.get('status_reasons');
  if (reasons) select = select.where('status_reason', 'in', reasons as Deployment['status_reason'][]);
  return page(db, select, 'deployments', query);
}

export function deploymentView(links: Links, row: Deployment): Record<string, unknown> {
  const path = `/v3/deployments/${row.guid}`;
  const isActive = row.status_value === 'ACTIVE';
  return {
    ...identityView(row),
    state: isActive && row.status_reason !== 'PAUSED' ? 'DEPLOYING' : row.status_reason,
    status: {
      value: row.status_value,
      reason: row.status_reason,
      details: {
        last_successful_healthcheck: row.last_healthy_at === null ? null : timestamp(row.last_healthy_at),
        last_status_change: timestamp(row.status_updated_at),
      },
      ...(row.strategy === 'canary'
        ? { canary: { steps: { current: row.canary_step ?? 1, total: canaryPlan(row).length } } }
        : {}),
    },
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
      ...(isActive ? { cancel: links.action(`${path}/actions/cancel`, 'POST') } : {}),
      ...(row.status_reason === 'PAUSED' ? { continue: links.action(`${path}/actions/continue`, 'POST') } : {}),
    },
  };
}

function optionsView(row: Deployment): Record<string, unknown> {
  const given = {
    web_instances: row.web_instances,
    memory_in_mb: row.memory_mb,
    disk_in_mb: row.disk_mb,
    log_rate_limit_in_bytes_per_second: row.log_rate_limit,
    canary: row.canary_steps && { steps: row.canary_steps.map((weight) => ({ instance_weight: weight })) },
  };
  const known = Object.entries(given).filter(([, value]) => value !== null);
  return { max_in_flight: row.max_in_flight, ...Object.fromEntries(known) };
}
