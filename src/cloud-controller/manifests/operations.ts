import { stringify } from 'yaml';
import { YAML_LIMITS } from '../../kit/yaml.ts';
import { app } from '../apps/subject.ts';
import { created, operation } from '../operation.ts';
import { space } from '../spaces/subject.ts';
import { diffManifest } from './diff.ts';
import { manifestOfApp, manifestsByName } from './existing.ts';
import { enqueueManifest } from './plan.ts';
import { manifestOf } from './read.ts';
import { DiffView } from './view.ts';

/** A request whose body is a manifest. */
const TAKES_MANIFEST = { on: space, accepts: 'yaml', bodyLimitBytes: YAML_LIMITS.bytes, long: true } as const;

export const manifestOperations = [
  operation('POST /v3/spaces/:guid/actions/apply_manifest', {
    ...TAKES_MANIFEST,
    answers: { 202: null },
    async run(call) {
      const { context, subject } = call;
      const { apps } = await manifestOf(context, call);
      return call.accepted(await enqueueManifest(context, subject.guid, apps, call));
    },
  }),

  operation('POST /v3/spaces/:guid/manifest_diff', {
    ...TAKES_MANIFEST,
    readsOnly: true,
    answers: { 201: DiffView },
    async run(call) {
      const { apps, raw } = await manifestOf(call.context, call);
      const names = apps.map(({ name }) => name);
      const existing = await manifestsByName(call, call.subject.guid, names);
      return created({ diff: diffManifest(raw, (name) => existing.get(name) ?? null) });
    },
  }),

  operation('GET /v3/apps/:guid/manifest', {
    on: app,
    answers: { 200: null },
    async run(call) {
      const text = stringify({ applications: [await manifestOfApp(call, call.subject)] });
      return { status: 200, text, headers: { 'content-type': 'application/x-yaml' } } as const;
    },
  }),
];
