import { sql } from 'kysely';
import type { App } from '../apps/store.ts';
import { ofApp } from '../apps/subject.ts';
import { integers, list } from '../listing.ts';
import { findRevision, type Revision, selectRevisions } from './store.ts';
import { RevisionView, revisionView } from './view.ts';

export const revision = ofApp('Revision', findRevision);

/** Only within an app are they listed. */
export const revisions = list('GET /v3/apps/:guid/revisions', {
  table: 'revisions',
  from: selectRevisions,
  seen: () => null,
  labels: true,
  filters: { versions: integers('revisions.version') },
  view: RevisionView,
  views: ({ context, reader }, rows: readonly Revision[]) =>
    rows.map((row) => revisionView(context.links, row, reader)),
});

/** The condition of those that an app runs now. */
export function deployedBy({ guid }: Pick<App, 'guid'>) {
  return sql<boolean>`revisions.app_guid = ${guid} AND revisions.guid IN
    (SELECT revision_guid FROM processes WHERE app_guid = ${guid} AND state = 'STARTED')`;
}
