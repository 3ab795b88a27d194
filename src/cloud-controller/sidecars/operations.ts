import { app, inApp } from '../apps/subject.ts';
import { created, noContent, ok, operation } from '../operation.ts';
import { process } from '../processes/subject.ts';
import { lists, shows } from '../standard.ts';
import { changeSidecar, createSidecar, removeSidecar } from './changes.ts';
import { CreateSidecar, UpdateSidecar } from './schema.ts';
import { beside, sidecar, sidecars } from './subject.ts';
import { SidecarView, sidecarView } from './view.ts';

export const sidecarOperations = [
  operation('GET /v3/apps/:guid/sidecars', lists(sidecars, { on: app, inside: inApp('sidecars') })),

  operation('GET /v3/processes/:guid/sidecars', lists(sidecars, { on: process, inside: beside })),

  operation('POST /v3/apps/:guid/sidecars', {
    on: app,
    body: CreateSidecar,
    answers: { 201: SidecarView },
    async run({ context, actor, body, reader, subject }) {
      return created(sidecarView(await createSidecar(context.db, subject, body, actor), reader));
    },
  }),

  operation('GET /v3/sidecars/:guid', shows(sidecar, sidecars)),

  operation('PATCH /v3/sidecars/:guid', {
    on: sidecar,
    body: UpdateSidecar,
    answers: { 200: SidecarView },
    async run({ context, actor, body, reader, subject }) {
      return ok(sidecarView(await changeSidecar(context.db, subject, body, actor), reader));
    },
  }),

  operation('DELETE /v3/sidecars/:guid', {
    on: sidecar,
    answers: { 204: null },
    async run({ context, actor, subject }) {
      await removeSidecar(context.db, subject, actor);
      return noContent();
    },
  }),
];
