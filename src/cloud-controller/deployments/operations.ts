import { logLine } from '../apps/log-lines.ts';
import { app } from '../apps/subject.ts';
import { unprocessable } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { lists, shown, shows, updatesMetadata } from '../standard.ts';
import { inBody } from '../subject.ts';
import { cancelDeployment, continueDeployment } from './changes.ts';
import { createDeployment } from './create.ts';
import { CreateDeployment } from './schema.ts';
import { deployment, deployments } from './subject.ts';
import { DeploymentView } from './view.ts';

const unusableApp = () => unprocessable('Unable to use app. Ensure that the app exists and you have access to it.');

export const deploymentOperations = [
  operation('GET /v3/deployments', lists(deployments)),

  operation('POST /v3/deployments', {
    on: { app: inBody('relationships.app', app, unusableApp) },
    body: CreateDeployment,
    answers: { 201: DeploymentView },
    async run(call) {
      const { actor, body, context, subject } = call;
      const made = await createDeployment(context, subject.app, body, actor);
      context.changed([subject.app.guid]);
      logLine(context, subject.app, `Deploying app with guid ${subject.app.guid}`);
      return created(await shown(call, deployments, made));
    },
  }),

  operation('GET /v3/deployments/:guid', shows(deployment, deployments)),

  operation('PATCH /v3/deployments/:guid', updatesMetadata(deployment, 'deployments', deployments)),

  operation('POST /v3/deployments/:guid/actions/cancel', {
    on: deployment,
    answers: { 200: null },
    async run({ actor, context, subject }) {
      await cancelDeployment(context, subject, actor);
      context.changed([subject.app.guid]);
      return ok(undefined);
    },
  }),

  operation('POST /v3/deployments/:guid/actions/continue', {
    on: deployment,
    answers: { 200: null },
    async run({ actor, context, subject }) {
      await continueDeployment(context, subject, actor);
      context.changed([subject.app.guid]);
      return ok(undefined);
    },
  }),
];
