import { sql } from 'kysely';
import { byApp, ofApp } from '../apps/subject.ts';
import { PACKAGE_TYPES } from '../docker/images.ts';
import { among, inSpaces, list } from '../listing.ts';
import { PACKAGE_STATES } from './state.ts';
import { findPackage, type PackageRow, packageOf, selectPackages } from './store.ts';
import { PackageView, packageView } from './view.ts';

/** "package" alone is a word that the language keeps for itself. */
export const packageSubject = ofApp('Package', findPackage);

export const packages = list('GET /v3/packages', {
  table: 'packages',
  from: selectPackages,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  filters: {
    states: among('packages.state', PACKAGE_STATES),
    types: among(sql`CASE WHEN packages.docker_image IS NULL THEN 'bits' ELSE 'docker' END`, PACKAGE_TYPES),
    ...byApp('packages'),
  },
  view: PackageView,
  views: ({ context }, rows: readonly PackageRow[]) => rows.map((row) => packageView(context.links, packageOf(row))),
});
