import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { toManyView } from '../relationships.ts';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView } from '../view.ts';
import type { IsolationSegment } from './store.ts';

export const IsolationSegmentView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    metadata: MetadataView,
    links: Type.Object({ self: Link, organizations: Link }),
  },
  { title: 'IsolationSegment' },
);

export function isolationSegmentView(links: Links, segment: IsolationSegment): Static<typeof IsolationSegmentView> {
  const path = `/v3/isolation_segments/${segment.guid}`;
  return {
    ...identityView(segment),
    name: segment.name,
    metadata: metadataView(segment),
    links: { self: links.to(path), organizations: links.to(`${path}/organizations`) },
  };
}

/** The organizations that are entitled to a segment, as a relationship. */
export function entitlementView(
  links: Links,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuids: readonly Guid<'organization'>[],
) {
  const path = `/v3/isolation_segments/${segmentGuid}`;
  const view = toManyView(links, `${path}/relationships/organizations`, organizationGuids);
  return { ...view, links: { ...view.links, related: links.to(`${path}/organizations`) } };
}
