import { sql } from 'kysely';
import type { Guid } from '../guid.ts';
import { list, names, oneOf, where } from '../listing.ts';
import { trueOrFalse } from '../query.ts';
import { findPlaces, placeOf } from '../spaces/store.ts';
import { seenSpaces, spaceFilter } from '../spaces/visibility.ts';
import { gathered, placeless } from '../subject.ts';
import { boundTo, findSecurityGroup, type SecurityGroup, seenFrom, selectSecurityGroups } from './store.ts';
import { SecurityGroupView, securityGroupView } from './view.ts';

/** Lies nowhere; whoever binds it is asked about each space. */
export const securityGroup = placeless('Security group', (db, guid, { caller }) =>
  findSecurityGroup(db, guid, seenFrom(seenSpaces(caller))),
);

/** A space to bind it to: nothing else is kept of the thousands that a body may name. */
export const boundSpace = gathered('Space', {
  async findAll(db, guids: readonly Guid<'space'>[]) {
    return new Map(
      (await findPlaces(db, guids)).map((space) => [space.guid, { guid: space.guid, place: placeOf(space) }]),
    );
  },
  place: ({ place }) => place,
});

export const securityGroups = list('GET /v3/security_groups', {
  table: 'security_groups',
  from: selectSecurityGroups,
  seen: ({ spaces }) => seenFrom(spaces),
  orderBy: ['name'],
  filters: {
    names: names('security_groups.name'),
    running_space_guids: where((given) => boundTo('running', given)),
    staging_space_guids: where((given) => boundTo('staging', given)),
    globally_enabled_running: oneOf(
      trueOrFalse('Globally enabled running'),
      (given) => sql<boolean>`security_groups.running_default = ${given === 'true'}`,
    ),
    globally_enabled_staging: oneOf(
      trueOrFalse('Globally enabled staging'),
      (given) => sql<boolean>`security_groups.staging_default = ${given === 'true'}`,
    ),
  },
  view: SecurityGroupView,
  async views({ context, caller }, rows: readonly SecurityGroup[]) {
    const spaces = rows.flatMap((row) => [...row.running_space_guids, ...row.staging_space_guids]);
    const visible = await spaceFilter(context.db, caller, spaces);
    return rows.map((row) => securityGroupView(context.links, row, visible));
  },
});

/** The same in one space. */
export const securityGroupsOfSpace = securityGroups.without(
  'running_space_guids',
  'staging_space_guids',
  'globally_enabled_running',
  'globally_enabled_staging',
);
