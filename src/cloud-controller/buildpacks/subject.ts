import { sql } from 'kysely';
import { list, oneOf, values, where } from '../listing.ts';
import { placeless } from '../subject.ts';
import { type Buildpack, findBuildpack } from './store.ts';
import { BuildpackView, buildpackView } from './view.ts';

/** Everybody sees it. */
export const buildpack = placeless('Buildpack', findBuildpack);

export const buildpacks = list('GET /v3/buildpacks', {
  table: 'buildpacks',
  from: (db) => db.selectFrom('buildpacks').selectAll('buildpacks'),
  seen: () => null,
  labels: true,
  orderBy: ['position', 'lifecycle'],
  // All are of one lifecycle, and among those the position orders.
  ordered: (asked) => (asked && asked.column !== 'lifecycle' ? asked : { column: 'position', descending: false }),
  filters: {
    names: values('buildpacks.name'),
    // An empty value asks for buildpacks of no stack.
    stacks: where((given) => sql<boolean>`coalesce(buildpacks.stack, '') = ANY(${given})`),
    lifecycle: oneOf(
      { values: ['buildpack', 'cnb'], sentence: 'Lifecycle must be either "buildpack" or "cnb"' },
      // There are none of the other kind.
      (given) => sql<boolean>`${given === 'buildpack'}`,
    ),
  },
  view: BuildpackView,
  views: ({ context }, rows: readonly Buildpack[]) => rows.map((row) => buildpackView(context.links, row)),
});
