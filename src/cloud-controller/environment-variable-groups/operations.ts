import { ok, operation } from '../operation.ts';
import { changeGroup } from './changes.ts';
import { UpdateGroup } from './schema.ts';
import { readGroup } from './store.ts';
import { environmentVariableGroup } from './subject.ts';
import { EnvironmentVariableGroupView, environmentVariableGroupView } from './view.ts';

export const environmentVariableGroupOperations = [
  operation('GET /v3/environment_variable_groups/:name', {
    on: { name: environmentVariableGroup },
    answers: { 200: EnvironmentVariableGroupView },
    async run({ context, subject }) {
      const group = await readGroup(context.db, context.sealer, subject.name);
      return ok(environmentVariableGroupView(context.links, subject.name, group));
    },
  }),

  operation('PATCH /v3/environment_variable_groups/:name', {
    on: { name: environmentVariableGroup },
    body: UpdateGroup,
    answers: { 200: EnvironmentVariableGroupView },
    async run({ actor, body, context, subject }) {
      const group = await changeGroup(context, actor, subject.name, body);
      return ok(environmentVariableGroupView(context.links, subject.name, group));
    },
  }),
];
