import { sql } from 'kysely';
import { byApp, ofApp } from '../apps/subject.ts';
import { among, inSpaces, list } from '../listing.ts';
import { STATUS_REASONS, STATUS_VALUES } from './state.ts';
import { type Deployment, findDeployment, selectDeployments } from './store.ts';
import { DeploymentView, deploymentView } from './view.ts';

export const deployment = ofApp('Deployment', findDeployment);

/** What clients of the time before `status` know a deployment's state by. */
const STATE = sql`CASE WHEN deployments.status_value = 'ACTIVE' AND deployments.status_reason <> 'PAUSED'
  THEN 'DEPLOYING' ELSE deployments.status_reason END`;

export const deployments = list('GET /v3/deployments', {
  table: 'deployments',
  from: selectDeployments,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  filters: {
    app_guids: byApp('deployments').app_guids,
    states: among(STATE, STATUS_REASONS),
    status_values: among('deployments.status_value', STATUS_VALUES),
    status_reasons: among('deployments.status_reason', STATUS_REASONS),
  },
  view: DeploymentView,
  views: ({ context }, rows: readonly Deployment[]) => rows.map((row) => deploymentView(context.links, row)),
});
