import { type Static, Type } from 'typebox';
import { ActionLink, IDENTITY, identityView, Link, type Links, MetadataView, metadataView } from '../view.ts';
import { BUILDPACK_STATES, type Buildpack } from './store.ts';

export const BuildpackView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    stack: Type.Union([Type.String(), Type.Null()]),
    state: Type.Enum(BUILDPACK_STATES),
    lifecycle: Type.Literal('buildpack'),
    filename: Type.Union([Type.String(), Type.Null()]),
    position: Type.Integer(),
    enabled: Type.Boolean(),
    locked: Type.Boolean(),
    metadata: MetadataView,
    links: Type.Object({ self: Link, upload: ActionLink }),
  },
  { title: 'Buildpack' },
);

export function buildpackView(links: Links, row: Buildpack): Static<typeof BuildpackView> {
  const path = `/v3/buildpacks/${row.guid}`;
  return {
    ...identityView(row),
    name: row.name,
    stack: row.stack,
    state: row.state,
    lifecycle: 'buildpack',
    filename: row.filename,
    position: row.position,
    enabled: row.enabled,
    locked: row.locked,
    metadata: metadataView(row),
    links: { self: links.to(path), upload: links.action(`${path}/upload`, 'POST') },
  };
}
