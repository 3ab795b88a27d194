import type { Guid } from '../guid.ts';
import { list, names, where } from '../listing.ts';
import { placeless } from '../subject.ts';
import {
  entitledAny,
  entitledIn,
  findIsolationSegment,
  type IsolationSegment,
  selectIsolationSegments,
} from './store.ts';
import { IsolationSegmentView, isolationSegmentView } from './view.ts';

/** Lies nowhere: it is seen from the organizations that are entitled to it. */
export const isolationSegment = placeless(
  'Isolation segment',
  (db, guid: Guid<'isolation_segment'>, { organizations }) => findIsolationSegment(db, guid, entitledIn(organizations)),
);

export const isolationSegments = list('GET /v3/isolation_segments', {
  table: 'isolation_segments',
  from: selectIsolationSegments,
  seen: ({ organizations }) => entitledIn(organizations),
  labels: true,
  orderBy: ['name'],
  filters: { names: names('isolation_segments.name'), organization_guids: where(entitledAny) },
  view: IsolationSegmentView,
  views: ({ context }, rows: readonly IsolationSegment[]) =>
    rows.map((row) => isolationSegmentView(context.links, row)),
});
