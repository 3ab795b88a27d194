import { type Static, Type } from 'typebox';
import { type Reader, shown, shownObject } from '../fields.ts';
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
import { DROPLET_STATES } from './state.ts';
import type { Droplet, DropletRuns } from './store.ts';

const OptionalText = Type.Union([Type.String(), Type.Null()]);

const BuildpackView = Type.Object({
  name: Type.String(),
  detect_output: OptionalText,
  buildpack_name: OptionalText,
  version: OptionalText,
});

export const DropletView = Type.Object(
  {
    ...IDENTITY,
    state: Type.Enum(DROPLET_STATES),
    error: OptionalText,
    lifecycle: Type.Object({ type: Type.Enum(['buildpack', 'docker']), data: Type.Object({}) }),
    checksum: Type.Union([Type.Object({ type: Type.Literal('sha256'), value: Type.String() }), Type.Null()]),
    buildpacks: Type.Union([Type.Array(BuildpackView), Type.Null()]),
    stack: OptionalText,
    image: OptionalText,
    execution_metadata: Type.String(),
    process_types: Type.Union([
      Type.Record(Type.String(), Type.String()),
      Type.Object({ redacted_message: Type.String() }),
    ]),
    relationships: Type.Object({ app: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      app: Link,
      assign_current_droplet: ActionLink,
      package: Type.Optional(Link),
      upload: Type.Optional(ActionLink),
      download: Type.Optional(Link),
    }),
  },
  { title: 'Droplet' },
);

const NOTHING_RUN: DropletRuns = { execution_metadata: '', process_types: {} };

export function dropletView(
  links: Links,
  droplet: Droplet,
  reader: Reader,
  runs: DropletRuns = NOTHING_RUN,
): Static<typeof DropletView> {
  const path = `/v3/droplets/${droplet.guid}`;
  const isBits = droplet.type === 'bits';
  return {
    ...identityView(droplet),
    state: droplet.state,
    error: droplet.error,
    lifecycle: { type: isBits ? 'buildpack' : 'docker', data: {} },
    checksum: isBits && droplet.sha256 !== null ? { type: 'sha256', value: droplet.sha256 } : null,
    buildpacks: isBits ? droplet.buildpacks : null,
    stack: isBits ? droplet.stack : null,
    image: isBits ? null : droplet.image,
    execution_metadata: shown(reader, 'droplet.execution_metadata', runs.execution_metadata),
    process_types: shownObject(reader, 'droplet.process_types', runs.process_types),
    relationships: { app: toOne(droplet.app_guid) },
    metadata: metadataView(droplet),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${droplet.app_guid}`),
      assign_current_droplet: links.action(`/v3/apps/${droplet.app_guid}/relationships/current_droplet`, 'PATCH'),
      ...(droplet.package_guid === null ? {} : { package: links.to(`/v3/packages/${droplet.package_guid}`) }),
      ...(droplet.state === 'AWAITING_UPLOAD' ? { upload: links.action(`${path}/upload`, 'POST') } : {}),
      ...(droplet.state === 'STAGED' && isBits ? { download: links.to(`${path}/download`) } : {}),
    },
  };
}

/** The relationship of an app to the droplet that it starts from. */
export function currentDropletView(links: Links, appGuid: Guid<'app'>, dropletGuid: string | null) {
  const path = `/v3/apps/${appGuid}`;
  return {
    ...toOne(dropletGuid),
    links: { self: links.to(`${path}/relationships/current_droplet`), related: links.to(`${path}/droplets/current`) },
  };
}
