import { type Static, Type } from 'typebox';
import {
  ActionLink,
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  ToOneView,
  toOne,
} from '../view.ts';
import { TASK_STATES } from './state.ts';
import type { Task } from './store.ts';

export const TaskView = Type.Object(
  {
    ...IDENTITY,
    sequence_id: Type.Integer(),
    name: Type.String(),
    command: Type.Optional(Type.String()),
    user: Type.String(),
    state: Type.Enum(TASK_STATES),
    memory_in_mb: Type.Integer(),
    disk_in_mb: Type.Integer(),
    log_rate_limit_in_bytes_per_second: Type.Integer(),
    result: Type.Object({ failure_reason: Type.Union([Type.String(), Type.Null()]) }),
    droplet_guid: Type.String(),
    relationships: Type.Object({ app: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({ self: Link, app: Link, cancel: ActionLink, droplet: Link }),
  },
  { title: 'Task' },
);

/** Without `command` where the reader does not see it, as in Cloud Foundry. */
export function taskView(links: Links, task: Task, command: string | undefined): Static<typeof TaskView> {
  const path = `/v3/tasks/${task.guid}`;
  return {
    ...identityView(task),
    sequence_id: task.sequence_id,
    name: task.name,
    ...(command === undefined ? {} : { command }),
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
