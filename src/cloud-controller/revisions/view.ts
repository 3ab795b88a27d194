import { type Static, Type } from 'typebox';
import { type Reader, shownObject } from '../fields.ts';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView, ToOneView, toOne } from '../view.ts';
import type { Revision } from './store.ts';

const Process = Type.Object({ command: Type.Union([Type.String(), Type.Null()]) });

export const RevisionView = Type.Object(
  {
    ...IDENTITY,
    version: Type.Integer(),
    droplet: Type.Object({ guid: Type.String() }),
    processes: Type.Union([Type.Record(Type.String(), Process), Type.Object({ redacted_message: Type.String() })]),
    sidecars: Type.Array(Type.Never()),
    description: Type.String(),
    deployable: Type.Boolean(),
    relationships: Type.Object({ app: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({ self: Link, app: Link, environment_variables: Link }),
  },
  { title: 'Revision' },
);

export const RevisionVariablesView = Type.Object(
  {
    var: Type.Record(Type.String(), Type.String()),
    links: Type.Object({ self: Link, revision: Link, app: Link }),
  },
  { title: 'RevisionVariables' },
);

export function revisionView(links: Links, row: Revision, reader: Reader): Static<typeof RevisionView> {
  const path = `/v3/revisions/${row.guid}`;
  return {
    ...identityView(row),
    version: row.version,
    droplet: { guid: row.droplet_guid },
    processes: shownObject(
      reader,
      'revision.processes',
      Object.fromEntries(Object.entries(row.commands).map(([type, command]) => [type, { command }])),
    ),
    sidecars: [],
    description: row.description,
    deployable: row.deployable,
    relationships: { app: toOne(row.app_guid) },
    metadata: metadataView(row),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${row.app_guid}`),
      environment_variables: links.to(`${path}/environment_variables`),
    },
  };
}

export function revisionVariablesView(
  links: Links,
  row: Revision,
  variables: Readonly<Record<string, string>>,
): Static<typeof RevisionVariablesView> {
  const path = `/v3/revisions/${row.guid}`;
  return {
    var: { ...variables },
    links: {
      self: links.to(`${path}/environment_variables`),
      revision: links.to(path),
      app: links.to(`/v3/apps/${row.app_guid}`),
    },
  };
}
