import { type Static, type TSchema, Type } from 'typebox';
import { LIST_READER, type Reader, shown } from '../fields.ts';
import type { Guid } from '../guid.ts';
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
import { InstanceView, ShortInstance } from './stats.ts';
import type { Process } from './store.ts';

const Or = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Check = {
  invocation_timeout: Or(Type.Integer()),
  interval: Or(Type.Integer()),
  endpoint: Type.Optional(Or(Type.String())),
};

export const ProcessView = Type.Object(
  {
    ...IDENTITY,
    version: Type.String(),
    type: Type.String(),
    command: Or(Type.String()),
    user: Type.String(),
    instances: Type.Integer(),
    memory_in_mb: Type.Integer(),
    disk_in_mb: Type.Integer(),
    log_rate_limit_in_bytes_per_second: Type.Integer(),
    health_check: Type.Object({
      type: Type.String(),
      data: Type.Object({ timeout: Or(Type.Integer()), ...Check }),
    }),
    readiness_health_check: Type.Object({ type: Type.String(), data: Type.Object(Check) }),
    process_instances: Type.Optional(Type.Array(ShortInstance)),
    relationships: Type.Object({ app: ToOneView, revision: Or(ToOneView) }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      scale: ActionLink,
      app: Link,
      space: Type.Optional(Link),
      stats: Link,
      process_instances: Link,
    }),
  },
  { title: 'Process' },
);

export const StatsView = Type.Object({ resources: Type.Array(InstanceView) }, { title: 'Stats' });

export const InstancesView = Type.Object(
  {
    resources: Type.Array(ShortInstance),
    links: Type.Object({ self: Link, process: Link }),
  },
  { title: 'Instances' },
);

/** What is shown of a process by itself, and in no list. */
interface Alone {
  reader: Reader;
  /** Its own, or what its droplet says it starts with. */
  command: string | null;
  spaceGuid: Guid<'space'>;
}

/** In a list without `alone`; with `instances` where they are embedded. */
export function processView(
  links: Links,
  process: Omit<Process, 'command'>,
  { instances, alone }: { instances?: readonly ShortInstance[] | undefined; alone?: Alone } = {},
): Static<typeof ProcessView> {
  const path = `/v3/processes/${process.guid}`;
  return {
    ...identityView(process),
    version: process.version,
    type: process.type,
    command: shown(alone?.reader ?? LIST_READER, 'process.command', alone?.command ?? null),
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
    ...(instances ? { process_instances: [...instances] } : {}),
    relationships: {
      app: toOne(process.app_guid),
      revision: process.revision_guid === null ? null : toOne(process.revision_guid),
    },
    metadata: metadataView(process),
    links: {
      self: links.to(path),
      scale: links.action(`${path}/actions/scale`, 'POST'),
      app: links.to(`/v3/apps/${process.app_guid}`),
      ...(alone ? { space: links.to(`/v3/spaces/${alone.spaceGuid}`) } : {}),
      stats: links.to(`${path}/stats`),
      process_instances: links.to(`${path}/process_instances`),
    },
  };
}
