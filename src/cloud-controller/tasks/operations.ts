import { app, inApp } from '../apps/subject.ts';
import { begun, type Call, operation } from '../operation.ts';
import type { OperationId } from '../permissions.ts';
import { lists, shown, shows, updatesMetadata } from '../standard.ts';
import type { RowOf } from '../subject.ts';
import { cancelTask } from './cancel.ts';
import { createTask } from './create.ts';
import { CreateTask } from './schema.ts';
import { task, tasks, tasksOfApp } from './subject.ts';
import { TaskView } from './view.ts';

const cancels = {
  on: task,
  answers: { 202: TaskView },
  async run(call: Call<OperationId, unknown, RowOf<typeof task>>) {
    const canceling = await cancelTask(call.context, call.subject, call.actor);
    return begun(await shown(call, tasks, canceling));
  },
};

export const taskOperations = [
  operation('GET /v3/tasks', lists(tasks)),

  operation('GET /v3/apps/:guid/tasks', lists(tasksOfApp, { on: app, inside: inApp('tasks') })),

  operation('POST /v3/apps/:guid/tasks', {
    on: app,
    body: CreateTask,
    answers: { 202: TaskView },
    async run(call) {
      const { actor, body, context, subject } = call;
      const made = await createTask(context, subject, body, actor);
      context.tasksChanged();
      return begun(await shown(call, tasks, made));
    },
  }),

  operation('GET /v3/tasks/:guid', shows(task, tasks)),

  operation('PATCH /v3/tasks/:guid', updatesMetadata(task, 'tasks', tasks)),

  operation('POST /v3/tasks/:guid/actions/cancel', cancels),

  operation('PUT /v3/tasks/:guid/cancel', cancels),
];
