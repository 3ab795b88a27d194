import { recordObservation } from '../apps/events.ts';
import { app, inApp } from '../apps/subject.ts';
import { readVariables } from '../apps/variables.ts';
import { ok, operation } from '../operation.ts';
import { lists, shows, updatesMetadata } from '../standard.ts';
import { sealedVariablesOf } from './store.ts';
import { deployedBy, revision, revisions } from './subject.ts';
import { RevisionVariablesView, revisionVariablesView } from './view.ts';

export const revisionOperations = [
  operation('GET /v3/apps/:guid/revisions', lists(revisions, { on: app, inside: inApp('revisions') })),

  operation(
    'GET /v3/apps/:guid/revisions/deployed',
    lists(revisions.without('versions'), { on: app, inside: deployedBy }),
  ),

  operation('GET /v3/revisions/:guid', shows(revision, revisions)),

  operation('GET /v3/revisions/:guid/environment_variables', {
    on: revision,
    answers: { 200: RevisionVariablesView },
    async run({ context, actor, subject }) {
      const variables = readVariables(context, await sealedVariablesOf(context.db, subject));
      const shown = { revision_guid: subject.guid };
      await recordObservation(context.db, 'audit.app.revision.environment_variables.show', actor, subject.app, shown);
      return ok(revisionVariablesView(context.links, subject, variables));
    },
  }),

  operation('PATCH /v3/revisions/:guid', updatesMetadata(revision, 'revisions', revisions)),
];
