import { sql } from 'kysely';
import { byApp, ofApp } from '../apps/subject.ts';
import { among, inSpaces, list, oneOf, type Showing } from '../listing.ts';
import type { PackageRow } from '../packages/store.ts';
import { DROPLET_STATES } from './state.ts';
import { type DropletRow, dropletOf, findDroplet, runsOf, selectDroplets } from './store.ts';
import { DropletView, dropletView } from './view.ts';

export const droplet = ofApp('Droplet', findDroplet);

const ofDroplets = {
  table: 'droplets',
  from: selectDroplets,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  view: DropletView,
  async views({ context, reader }: Showing, rows: readonly DropletRow[]) {
    const isSeen = reader.sees('droplet.process_types') || reader.sees('droplet.execution_metadata');
    const guids = isSeen ? rows.map(({ guid }) => guid) : [];
    const runs = guids.length === 0 ? null : await runsOf(context.db, guids);
    return rows.map((row) => dropletView(context.links, dropletOf(row), reader, runs?.get(row.guid)));
  },
};
const states = among('droplets.state', DROPLET_STATES);

export const droplets = list('GET /v3/droplets', { ...ofDroplets, filters: { states, ...byApp('droplets') } });

/** Of one app: whose it is needs no filter. */
export const dropletsOfApp = list('GET /v3/droplets', {
  ...ofDroplets,
  filters: {
    states,
    current: oneOf(
      { values: ['true'], sentence: "Current only accepts the value 'true'" },
      () => sql<boolean>`droplets.guid = apps.droplet_guid`,
    ),
  },
});

/** The condition of a list of what was staged from one package. */
export function fromPackage({ guid }: Pick<PackageRow, 'guid'>) {
  return sql<boolean>`droplets.package_guid = ${guid}`;
}
