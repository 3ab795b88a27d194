import { logLine } from '../apps/log-lines.ts';
import { app, inApp } from '../apps/subject.ts';
import { unprocessable } from '../errors.ts';
import { created, operation } from '../operation.ts';
import { packageSubject } from '../packages/subject.ts';
import { lists, shown, shows, updatesMetadata } from '../standard.ts';
import { inBody } from '../subject.ts';
import { createBuild } from './create.ts';
import { CreateBuild } from './schema.ts';
import { build, builds } from './subject.ts';
import { BuildView } from './view.ts';

const unusablePackage = () =>
  unprocessable('Unable to use package. Ensure that the package exists and you have access to it.');

export const buildOperations = [
  operation('GET /v3/builds', lists(builds)),

  operation(
    'GET /v3/apps/:guid/builds',
    lists(builds.without('app_guids', 'package_guids'), { on: app, inside: inApp('builds') }),
  ),

  operation('POST /v3/builds', {
    on: { source: inBody('package', packageSubject, unusablePackage) },
    body: CreateBuild,
    answers: { 201: BuildView },
    async run(call) {
      const { context, subject, body, actor } = call;
      const { app } = subject.source;
      const made = await createBuild(context, app, subject.source, body, actor);
      context.tasksChanged();
      logLine(context, app, `Creating build for app with guid ${app.guid}`);
      return created(await shown(call, builds, made));
    },
  }),

  operation('GET /v3/builds/:guid', shows(build, builds)),

  operation('PATCH /v3/builds/:guid', updatesMetadata(build, 'builds', builds)),

  operation('POST /v3/apps/:guid/actions/clear_buildpack_cache', {
    on: app,
    answers: { 202: null },
    run: async (call) => call.enqueue('buildpack_cache.delete', { type: 'app', guid: call.subject.guid }),
  }),

  operation('POST /v3/admin/actions/clear_buildpack_cache', {
    answers: { 202: null },
    run: async (call) => call.enqueue('buildpack_caches.delete'),
  }),
];
