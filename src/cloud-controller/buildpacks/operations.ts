import { unprocessable } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { receiveBits } from './bits.ts';
import { changeBuildpack, createBuildpack } from './changes.ts';
import { CreateBuildpack, UpdateBuildpack } from './schema.ts';
import { buildpack, buildpacks } from './subject.ts';
import { BuildpackView } from './view.ts';

export const buildpackOperations = [
  operation('GET /v3/buildpacks', lists(buildpacks)),

  operation('POST /v3/buildpacks', {
    body: CreateBuildpack,
    answers: { 201: BuildpackView },
    async run(call) {
      const made = await createBuildpack(call.context.db, call.actor, call.body);
      return created(await shown(call, buildpacks, made));
    },
  }),

  operation('GET /v3/buildpacks/:guid', shows(buildpack, buildpacks)),

  operation('PATCH /v3/buildpacks/:guid', {
    on: buildpack,
    body: UpdateBuildpack,
    answers: { 200: BuildpackView },
    async run(call) {
      const changed = await changeBuildpack(call.context.db, call.actor, call.subject.guid, call.body);
      return ok(await shown(call, buildpacks, changed));
    },
  }),

  operation('DELETE /v3/buildpacks/:guid', deletes(buildpack, 'buildpack')),

  operation('POST /v3/buildpacks/:guid/upload', {
    on: buildpack,
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 1024 ** 2,
    answers: { 202: BuildpackView },
    async run(call) {
      if (call.subject.locked) throw unprocessable('Buildpack is locked');
      const filled = await receiveBits(call, call.subject);
      const accepted = await call.enqueue('buildpack.upload', { type: 'buildpack', guid: filled.guid });
      return { ...accepted, body: await shown(call, buildpacks, filled) };
    },
  }),
];
