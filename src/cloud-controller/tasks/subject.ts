import { byApp, ofApp } from '../apps/subject.ts';
import { among, inSpaces, integers, list, type Showing, values } from '../listing.ts';
import { TASK_STATES } from './state.ts';
import { commandsOf, findTask, selectTasks, type Task } from './store.ts';
import { TaskView, taskView } from './view.ts';

export const task = ofApp('Task', findTask);

const ofTasks = {
  table: 'tasks',
  from: selectTasks,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  view: TaskView,
  async views({ context, reader }: Showing, rows: readonly Task[]) {
    const guids = reader.sees('task.command') ? rows.map(({ guid }) => guid) : [];
    const commands = guids.length === 0 ? null : await commandsOf(context.db, context.sealer, guids);
    return rows.map((row) => taskView(context.links, row, commands?.get(row.guid)));
  },
};
const names = values('tasks.name');
const states = among('tasks.state', TASK_STATES);

export const tasks = list('GET /v3/tasks', { ...ofTasks, filters: { names, states, ...byApp('tasks') } });

/** Of one app: whose it is needs no filter, and its tasks are numbered. */
export const tasksOfApp = list('GET /v3/tasks', {
  ...ofTasks,
  filters: { names, states, sequence_ids: integers('tasks.sequence_id') },
});
