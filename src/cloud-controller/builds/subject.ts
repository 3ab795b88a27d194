import { byApp, ofApp } from '../apps/subject.ts';
import { among, inSpaces, list, values } from '../listing.ts';
import { BUILD_STATES } from './state.ts';
import { type BuildRow, buildOf, findBuild, selectBuilds } from './store.ts';
import { BuildView, buildView } from './view.ts';

export const build = ofApp('Build', findBuild);

export const builds = list('GET /v3/builds', {
  table: 'builds',
  from: selectBuilds,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  filters: {
    states: among('builds.state', BUILD_STATES),
    app_guids: byApp('builds').app_guids,
    package_guids: values('builds.package_guid'),
  },
  view: BuildView,
  views: ({ context }, rows: readonly BuildRow[]) => rows.map((row) => buildView(context.links, buildOf(row))),
});
