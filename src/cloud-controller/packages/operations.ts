import { recordObservation } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { app, inApp } from '../apps/subject.ts';
import { invalidApp, notFound, unprocessable } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { Bytes, download } from '../storage/download.ts';
import { inBody, inQuery } from '../subject.ts';
import { changePackage } from './changes.ts';
import { createPackage } from './create.ts';
import { knownResources } from './matched-files.ts';
import { CreatePackage, MatchedResources, MatchResources, UpdatePackage } from './schema.ts';
import { type PackageRow, packageOf } from './store.ts';
import { packageSubject, packages } from './subject.ts';
import { PACKAGE_MAX_BYTES, receivePackage } from './upload.ts';
import { PackageView } from './view.ts';

function requireBits(row: PackageRow): void {
  if (packageOf(row).type !== 'bits') throw unprocessable('Package type must be bits.');
}

export const packageOperations = [
  operation('GET /v3/packages', lists(packages)),

  operation(
    'GET /v3/apps/:guid/packages',
    lists(packages.without('app_guids', 'space_guids', 'organization_guids'), { on: app, inside: inApp('packages') }),
  ),

  operation('POST /v3/packages', {
    on: {
      app: inBody('relationships.app', app, invalidApp),
      source: inQuery(packageSubject, 'source_guid', () => unprocessable('Invalid source package')),
    },
    query: { values: ['source_guid'] },
    body: CreatePackage,
    answers: { 201: PackageView },
    async run(call) {
      const { actor, body, context, subject } = call;
      const made = await createPackage(context, subject.app, subject.source, body, actor);
      logLine(context, subject.app, `Creating package with guid ${made.guid} for app with guid ${subject.app.guid}`);
      return created(await shown(call, packages, made));
    },
  }),

  operation('GET /v3/packages/:guid', shows(packageSubject, packages)),

  operation('PATCH /v3/packages/:guid', {
    on: packageSubject,
    body: UpdatePackage,
    answers: { 200: PackageView },
    async run(call) {
      const changed = await changePackage(call.context, call.subject, call.body, call.actor);
      return ok(await shown(call, packages, changed));
    },
  }),

  operation('DELETE /v3/packages/:guid', deletes(packageSubject, 'package')),

  operation('POST /v3/packages/:guid/upload', {
    on: packageSubject,
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 64 * 1024 ** 2,
    answers: { 200: PackageView },
    async run(call) {
      const { context, subject } = call;
      requireBits(subject);
      const ready = await receivePackage(context, subject, call);
      logLine(context, subject.app, `Uploaded bits of package with guid ${subject.guid}`);
      return ok(await shown(call, packages, ready));
    },
  }),

  operation('GET /v3/packages/:guid/download', {
    on: packageSubject,
    answers: { 200: Bytes },
    async run({ actor, context, subject }) {
      requireBits(subject);
      if (subject.state !== 'READY') throw unprocessable('Package has no bits to download.');
      const blob = { kind: 'packages', key: subject.guid, type: 'application/zip' } as const;
      return download(context.blobs, blob, notFound('Package'), () =>
        recordObservation(context.db, 'audit.app.package.download', actor, subject.app, { package_guid: subject.guid }),
      );
    },
  }),

  operation('POST /v3/resource_matches', {
    bodyLimitBytes: 4 * 1024 ** 2,
    readsOnly: true,
    body: MatchResources,
    answers: { 201: MatchedResources },
    async run({ body, caller, context }) {
      return created({ resources: await knownResources(context.db, caller, body.resources) });
    },
  }),
];
