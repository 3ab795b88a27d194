import { inSpaces, list, names, values } from '../listing.ts';
import { organizations } from '../organizations/subject.ts';
import { subject } from '../subject.ts';
import { findSpace, placeOf, type Space, selectSpaces } from './store.ts';
import { SpaceView, spaceView } from './view.ts';

export const space = subject('Space', { find: findSpace, place: placeOf });

const ownOrganization = [organizations, (row: Space) => row.organization_guid] as const;

export const spaces = list('GET /v3/spaces', {
  table: 'spaces',
  from: selectSpaces,
  seen: inSpaces('spaces.guid'),
  labels: true,
  orderBy: ['name'],
  filters: { names: names('spaces.name'), organization_guids: values('spaces.organization_guid') },
  include: { org: [ownOrganization], organization: [ownOrganization] },
  view: SpaceView,
  views: ({ context }, rows: readonly Space[]) => rows.map((row) => spaceView(context.links, row)),
});
