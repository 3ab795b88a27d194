import { recordObservation } from '../apps/events.ts';
import { app, inApp } from '../apps/subject.ts';
import { invalidApp, notFound, unprocessable } from '../errors.ts';
import { LIST_READER } from '../fields.ts';
import { created, ok, operation } from '../operation.ts';
import { packageSubject } from '../packages/subject.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { deletes, lists, shown, shows, updatesMetadata } from '../standard.ts';
import { Bytes, download } from '../storage/download.ts';
import { inBody, inQuery } from '../subject.ts';
import { createDroplet } from './create.ts';
import { CreateDroplet } from './schema.ts';
import { dropletOf, findDroplet, isDropletInUse } from './store.ts';
import { droplet, droplets, dropletsOfApp, fromPackage } from './subject.ts';
import { receiveDroplet } from './upload.ts';
import { DropletView } from './view.ts';

export const dropletOperations = [
  operation('GET /v3/droplets', lists(droplets)),

  operation(
    'GET /v3/apps/:guid/droplets',
    lists(dropletsOfApp, { on: app, inside: inApp('droplets'), reader: LIST_READER }),
  ),

  operation(
    'GET /v3/packages/:guid/droplets',
    lists(droplets, { on: packageSubject, inside: fromPackage, reader: LIST_READER }),
  ),

  operation('GET /v3/droplets/:guid', shows(droplet, droplets)),

  operation('GET /v3/apps/:guid/droplets/current', {
    on: app,
    answers: { 200: DropletView },
    async run(call) {
      const guid = call.subject.droplet_guid;
      const current = guid === null ? null : await findDroplet(call.context.db, guid);
      if (!current) throw notFound('Droplet');
      return ok(await shown(call, droplets, current));
    },
  }),

  operation('POST /v3/droplets', {
    on: {
      app: inBody('relationships.app', app, invalidApp),
      source: inQuery(droplet, 'source_guid'),
    },
    query: { values: ['source_guid'] },
    body: CreateDroplet,
    answers: { 201: DropletView },
    async run(call) {
      const { actor, body, context, subject } = call;
      const made = await createDroplet(context, subject.app, subject.source, body, actor);
      return created(await shown(call, droplets, made));
    },
  }),

  operation('POST /v3/droplets/:guid/upload', {
    on: droplet,
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 1024 ** 2,
    answers: { 202: DropletView },
    async run(call) {
      const { row, job } = await receiveDroplet(call.context, call.subject, call);
      return { ...call.accepted(job), body: await shown(call, droplets, row) };
    },
  }),

  operation('GET /v3/droplets/:guid/download', {
    on: droplet,
    answers: { 200: Bytes },
    async run({ actor, context, subject }) {
      const { app, guid } = subject;
      if (dropletOf(subject).type === 'docker') {
        throw unprocessable("Cannot download droplets with 'docker' lifecycle.");
      }
      if (subject.state !== 'STAGED') throw notFound('Droplet');
      const blob = { kind: 'droplets', key: guid, type: 'application/gzip' } as const;
      return download(context.blobs, blob, notFound('Droplet'), () =>
        recordObservation(context.db, 'audit.app.droplet.download', actor, app, { droplet_guid: guid }),
      );
    },
  }),

  operation('PATCH /v3/droplets/:guid', updatesMetadata(droplet, 'droplets', droplets)),

  operation(
    'DELETE /v3/droplets/:guid',
    deletes(droplet, 'droplet', async ({ context, subject }) => {
      if (!(await isDropletInUse(context.db, subject.guid))) return;
      throw unprocessable('The droplet is the current droplet of its app and cannot be deleted.');
    }),
  ),
];
