import { findApp } from '../apps/store.ts';
import { app, byApp, type OfApp, ofApp } from '../apps/subject.ts';
import { placeInSpace } from '../authorization.ts';
import type { Guid } from '../guid.ts';
import { inSpaces, list, values } from '../listing.ts';
import { inPath, subject } from '../subject.ts';
import { instancesOf } from './instances.ts';
import { asShown, findShownProcess, type Selected, type ShownProcess, selectShown, shownOf } from './shown.ts';
import { findProcessOfType } from './store.ts';
import { ProcessView, processView } from './view.ts';

export type AppProcess = OfApp<ShownProcess>;

export const process = ofApp('Process', findShownProcess);

/** The process of `:type`, of the app of `:guid`. */
const processOfType = subject('Process', {
  async find(db, guid: Guid<'app'>, { params }): Promise<AppProcess | null> {
    const owner = await findApp(db, guid);
    const row = owner && (await findProcessOfType(db, guid, params['type'] ?? ''));
    return row && { ...asShown(row), app: owner };
  },
  place: (row) => placeInSpace(row.app),
});

/** What operations on a process are called on: its guid, or its app and type. Who does not see the app learns nothing of what it has. */
export const BY_GUID = { process: inPath(process, 'guid') };
export const BY_TYPE = { app, process: inPath(processOfType, 'guid') };

export const processes = list('GET /v3/processes', {
  table: 'processes',
  from: selectShown,
  ties: 'outgoing.place',
  seen: inSpaces('apps.space_guid'),
  labels: true,
  filters: { types: values('processes.type'), ...byApp('processes') },
  more: { embed: ['process_instances'] },
  view: ProcessView,
  async views({ context, embed }, rows: readonly Selected[]) {
    const shown = rows.map(shownOf);
    const instances = [...embed].includes('process_instances') ? await instancesOf(context, shown) : null;
    return shown.map((row) => processView(context.links, row, { instances: instances?.get(row.guid) }));
  },
});
