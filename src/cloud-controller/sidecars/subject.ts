import { sql } from 'kysely';
import { ofApp } from '../apps/subject.ts';
import { list } from '../listing.ts';
import type { AppProcess } from '../processes/subject.ts';
import { findSidecar, type Sidecar, selectSidecars } from './store.ts';
import { SidecarView, sidecarView } from './view.ts';

export const sidecar = ofApp('Sidecar', findSidecar);

/** Only within an app or a process are they listed. */
export const sidecars = list('GET /v3/apps/:guid/sidecars', {
  table: 'sidecars',
  from: selectSidecars,
  seen: () => null,
  view: SidecarView,
  views: ({ reader }, rows: readonly Sidecar[]) => rows.map((row) => sidecarView(row, reader)),
});

/** The condition of those that run beside a process. */
export function beside({ app, type }: AppProcess) {
  return sql<boolean>`sidecars.app_guid = ${app.guid} AND ${type} = ANY(sidecars.process_types)`;
}
