import { type Static, Type } from 'typebox';
import { LifecycleView, lifecycleView } from '../apps/view.ts';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView, ToOneView, toOne } from '../view.ts';
import { BUILD_STATES } from './state.ts';
import type { Build } from './store.ts';

const Named = Type.Object({ guid: Type.String() });

export const BuildView = Type.Object(
  {
    ...IDENTITY,
    state: Type.Enum(BUILD_STATES),
    staging_memory_in_mb: Type.Integer(),
    staging_disk_in_mb: Type.Integer(),
    staging_log_rate_limit_bytes_per_second: Type.Integer(),
    error: Type.Union([Type.String(), Type.Null()]),
    lifecycle: LifecycleView,
    package: Named,
    droplet: Type.Union([Named, Type.Null()]),
    created_by: Type.Object({ guid: Type.String(), name: Type.String(), email: Type.String() }),
    relationships: Type.Object({ app: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({ self: Link, app: Link, droplet: Type.Optional(Link) }),
  },
  { title: 'Build' },
);

export function buildView(links: Links, build: Build): Static<typeof BuildView> {
  const droplet = build.state === 'STAGED' ? build.droplet_guid : null;
  return {
    ...identityView(build),
    state: build.state,
    staging_memory_in_mb: build.staging_memory_mb,
    staging_disk_in_mb: build.staging_disk_mb,
    staging_log_rate_limit_bytes_per_second: -1,
    error: build.state === 'FAILED' ? build.error : null,
    lifecycle: lifecycleView(build),
    package: { guid: build.package_guid },
    droplet: droplet === null ? null : { guid: droplet },
    created_by: { guid: build.created_by_guid, name: build.created_by_name, email: build.created_by_name },
    relationships: { app: toOne(build.app_guid) },
    metadata: metadataView(build),
    links: {
      self: links.to(`/v3/builds/${build.guid}`),
      app: links.to(`/v3/apps/${build.app_guid}`),
      ...(droplet === null ? {} : { droplet: links.to(`/v3/droplets/${droplet}`) }),
    },
  };
}
