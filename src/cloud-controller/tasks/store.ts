import type { Selectable } from 'kysely';
import type { Sealer } from '../../kit/crypto.ts';
import { authorizeByApp, narrowByApp, type OfApps } from '../apps/belongings.ts';
import type { App } from '../apps/store.ts';
import type { TaskTable } from '../apps/tables.ts';
import { metadataView } from '../apps/view.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, toOne } from '../view.ts';

export type Task = Selectable<TaskTable>;

export const taskQuery = {
  list: true,
  labels: true,
  filters: ['names', 'states', 'app_guids', 'space_guids', 'organization_guids', 'sequence_ids'],
} as const satisfies QueryRules;

const contextOf = (guid: string): string => `tasks.command:${guid}`;

export function sealCommand(sealer: Sealer, guid: string, command: string) {
  const { keyLabel, data } = sealer.seal(command, contextOf(guid));
  return { command_key_label: keyLabel, command_data: data };
}

export function openCommand(sealer: Sealer, task: Task): string {
  return sealer.open({ keyLabel: task.command_key_label, data: task.command_data }, contextOf(task.guid));
}

export async function authorizedTask(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
): Promise<{ app: App; task: Task; seesSecrets: boolean }> {
  const { db } = call.context;
  const task = await db.selectFrom('tasks').selectAll().where('guid', '=', guid).executeTakeFirst();
  const { app, row, roles } = await authorizeByApp(call, task, notFound('Task'));
  const seesSecrets = (['admin', 'admin_read_only', 'space_developer'] as const).some((role) => roles.has(role));
  return { app, task: row, seesSecrets };
}

export async function listTasks(db: Db, query: Query, only: OfApps): Promise<Page<Task>> {
  const joined = db
    .selectFrom('tasks')
    .innerJoin('apps', 'apps.guid', 'tasks.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .selectAll('tasks');
  let select = narrowByApp(joined, 'tasks', query, only);
  const names = query.filters.get('names');
  if (names) select = select.where('tasks.name', 'in', names);
  const states = query.filters.get('states');
  if (states) select = select.where('tasks.state', 'in', states as Task['state'][]);
  const sequence = query.filters.get('sequence_ids')?.filter((text) => /^\d{1,9}$/.test(text));
  if (sequence) select = select.where('tasks.sequence_id', 'in', sequence.map(Number));
  return page(db, select, 'tasks', query);
}

/** `command` is shown where it is not a list, and to those who may see secrets. */
export function taskView(links: Links, task: Task, command: string | null): Record<string, unknown> {
  const path = `/v3/tasks/${task.guid}`;
  return {
    ...identityView(task),
    sequence_id: task.sequence_id,
    name: task.name,
    ...(command === null ? {} : { command }),
    user: 'vcap',
    state: task.state,
    memory_in_mb: task.memory_mb,
    disk_in_mb: task.disk_mb,
    log_rate_limit_in_bytes_per_second: task.log_rate_limit,
    result: { failure_reason: task.failure_reason },
    droplet_guid: task.droplet_guid,
    relationships: { app: toOne(task.app_guid) },
    metadata: metadataView(task),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${task.app_guid}`),
      cancel: links.action(`${path}/actions/cancel`, 'POST'),
      droplet: links.to(`/v3/droplets/${task.droplet_guid}`),
    },
  };
}
