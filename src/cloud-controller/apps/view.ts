import { type Static, Type } from 'typebox';
import { shownAddress } from '../../kit/secrets.ts';
import { isBuildpackAddress } from '../buildpacks/custom.ts';
import type { Lifecycle } from '../lifecycle.ts';
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
import type { App } from './store.ts';
import { VcapApplication } from './vcap-application.ts';

const Variables = Type.Record(Type.String(), Type.String());

export const LifecycleView = Type.Object(
  {
    type: Type.Enum(['buildpack', 'docker']),
    data: Type.Object({
      buildpacks: Type.Optional(Type.Array(Type.String())),
      stack: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    }),
  },
  { title: 'Lifecycle' },
);

export const AppView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    state: Type.Enum(['STOPPED', 'STARTED']),
    lifecycle: LifecycleView,
    relationships: Type.Object({ space: ToOneView, current_droplet: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      environment_variables: Link,
      space: Link,
      processes: Link,
      packages: Link,
      current_droplet: Link,
      droplets: Link,
      tasks: Link,
      start: ActionLink,
      stop: ActionLink,
      clear_buildpack_cache: ActionLink,
      revisions: Link,
      deployed_revisions: Link,
      features: Link,
    }),
  },
  { title: 'App' },
);

export const EnvironmentView = Type.Object(
  {
    staging_env_json: Variables,
    running_env_json: Variables,
    environment_variables: Variables,
    system_env_json: Type.Union([
      Type.Object({ VCAP_SERVICES: Type.Object({}) }),
      Type.Object({ redacted_message: Type.String() }),
    ]),
    application_env_json: Type.Object({ VCAP_APPLICATION: VcapApplication }),
  },
  { title: 'Environment' },
);

export const VariablesView = Type.Object(
  { var: Variables, links: Type.Object({ self: Link, app: Link }) },
  { title: 'Variables' },
);

export const FeatureView = Type.Object(
  { name: Type.String(), description: Type.String(), enabled: Type.Boolean() },
  { title: 'Feature' },
);

export const SshView = Type.Object({ enabled: Type.Boolean(), reason: Type.String() }, { title: 'Ssh' });

export const PermissionsView = Type.Object(
  { read_basic_data: Type.Boolean(), read_sensitive_data: Type.Boolean() },
  { title: 'Permissions' },
);

/** Whoever sees the app sees this: of a buildpack's address no query, which may be its key (the manifest has all of it). */
export function lifecycleView(row: {
  lifecycle: Lifecycle;
  buildpacks: readonly string[];
  stack: string | null;
}): Static<typeof LifecycleView> {
  if (row.lifecycle === 'docker') return { type: 'docker', data: {} };
  const buildpacks = row.buildpacks.map((name) => (isBuildpackAddress(name) ? shownAddress(name) : name));
  return { type: 'buildpack', data: { buildpacks, stack: row.stack } };
}

export function appView(links: Links, app: App): Static<typeof AppView> {
  const path = `/v3/apps/${app.guid}`;
  return {
    ...identityView(app),
    name: app.name,
    state: app.state,
    lifecycle: lifecycleView(app),
    relationships: {
      space: toOne(app.space_guid),
      current_droplet: toOne(app.droplet_guid),
    },
    metadata: metadataView(app),
    links: {
      self: links.to(path),
      environment_variables: links.to(`${path}/environment_variables`),
      space: links.to(`/v3/spaces/${app.space_guid}`),
      processes: links.to(`${path}/processes`),
      packages: links.to(`${path}/packages`),
      current_droplet: links.to(`${path}/droplets/current`),
      droplets: links.to(`${path}/droplets`),
      tasks: links.to(`${path}/tasks`),
      start: links.action(`${path}/actions/start`, 'POST'),
      stop: links.action(`${path}/actions/stop`, 'POST'),
      clear_buildpack_cache: links.action(`${path}/actions/clear_buildpack_cache`, 'POST'),
      revisions: links.to(`${path}/revisions`),
      deployed_revisions: links.to(`${path}/revisions/deployed`),
      features: links.to(`${path}/features`),
    },
  };
}

/** `variables` are those of the app that the caller may read. */
export function variablesView(
  links: Links,
  { guid }: Pick<App, 'guid'>,
  variables: Readonly<Record<string, string>>,
): Static<typeof VariablesView> {
  const path = `/v3/apps/${guid}`;
  return {
    var: { ...variables },
    links: { self: links.to(`${path}/environment_variables`), app: links.to(path) },
  };
}
