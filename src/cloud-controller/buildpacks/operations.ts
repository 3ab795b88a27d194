import { createReadStream } from 'node:fs';
import { sql } from 'kysely';
import { Type } from 'typebox';
import { metadataView } from '../apps/view.ts';
import { recordEvent } from '../audit-events/store.ts';
import { type Db, now } from '../database.ts';
import { CfError, isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { type Call, created, ok, operation } from '../operation.ts';
import { ArchiveRefusedError, openArchive, PACKAGE_LIMITS } from '../packages/archive.ts';
import { withUpload } from '../packages/multipart.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { identityView, type Links } from '../view.ts';
import type { Buildpack } from './store.ts';

const Name = Type.String({ minLength: 1, maxLength: 250, pattern: '^[\\w .-]+$' });
const settable = {
  stack: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Null()])),
  position: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
  enabled: Type.Optional(Type.Boolean()),
  locked: Type.Optional(Type.Boolean()),
  lifecycle: Type.Optional(Type.Literal('buildpack')),
  metadata: Type.Optional(MetadataInput),
};
const CreateBuildpack = Type.Object({ name: Name, ...settable }, { additionalProperties: false });
const UpdateBuildpack = Type.Object({ name: Type.Optional(Name), ...settable }, { additionalProperties: false });

export const buildpackOperations = [
  operation({
    id: 'GET /v3/buildpacks',
    query: { list: true, labels: true, orderBy: ['position'], filters: ['names', 'stacks'], values: ['lifecycle'] },
    async run(call) {
      const { db, links } = call.context;
      let select = narrow(db.selectFrom('buildpacks').selectAll('buildpacks'), 'buildpacks', call.query);
      const names = call.query.filters.get('names');
      if (names) select = select.where('name', 'in', names);
      const stacks = call.query.filters.get('stacks');
      // An empty value asks for buildpacks of no stack.
      if (stacks) select = select.where(sql`coalesce(stack, '')`, 'in', stacks);
      const query = call.query.orderBy
        ? call.query
        : { ...call.query, orderBy: { column: 'position', descending: false } };
      const found = await page(db, select, 'buildpacks', query);
      return ok(listView(links, '/v3/buildpacks', call.query, found, (row) => buildpackView(links, row)));
    },
  }),
  operation({
    id: 'POST /v3/buildpacks',
    body: CreateBuildpack,
    async run(call) {
      const { db, links } = call.context;
      const { name, stack = null, position, enabled = true, locked = false, metadata } = call.body;
      await checkStack(db, stack);
      const row = await db.transaction().execute(async (trx) => {
        const place = await makeRoom(trx, position);
        const inserted = await trx
          .insertInto('buildpacks')
          .values({
            guid: crypto.randomUUID(),
            name,
            stack,
            position: place,
            state: 'AWAITING_UPLOAD',
            enabled,
            locked,
            ...newMetadata(metadata),
          })
          .returningAll()
          .executeTakeFirstOrThrow()
          .catch((error: unknown) => {
            throw taken(error, name, stack);
          });
        await record(trx, call, 'create', inserted, call.body);
        return inserted;
      });
      return created(buildpackView(links, row));
    },
  }),
  operation({
    id: 'GET /v3/buildpacks/:guid',
    async run(call) {
      return ok(buildpackView(call.context.links, await find(call.context.db, call.params.guid)));
    },
  }),
  operation({
    id: 'PATCH /v3/buildpacks/:guid',
    body: UpdateBuildpack,
    async run(call) {
      const { db, links } = call.context;
      const before = await find(db, call.params.guid);
      const { name = before.name, stack = before.stack, enabled = before.enabled, locked = before.locked } = call.body;
      if (before.stack !== null && stack !== before.stack) throw unprocessable('Buildpack stack cannot be changed');
      await checkStack(db, stack);
      const row = await db.transaction().execute(async (trx) => {
        const { position } = call.body;
        const place = position === undefined ? before.position : await makeRoom(trx, position, before);
        const updated = await trx
          .updateTable('buildpacks')
          .set({
            name,
            stack,
            enabled,
            locked,
            position: place,
            ...metadataColumns(mergeMetadata(before, call.body.metadata)),
            updated_at: now,
          })
          .where('guid', '=', before.guid)
          .returningAll()
          .executeTakeFirstOrThrow()
          .catch((error: unknown) => {
            throw taken(error, name, stack);
          });
        await record(trx, call, 'update', updated, call.body);
        return updated;
      });
      return ok(buildpackView(links, row));
    },
  }),
  operation({
    id: 'DELETE /v3/buildpacks/:guid',
    async run(call) {
      const { db, jobs } = call.context;
      const found = await find(db, call.params.guid);
      await record(db, call, 'delete', found, {});
      const job = await jobs.enqueue({
        operation: 'buildpack.delete',
        actor: call.actor,
        resource: { type: 'buildpack', guid: found.guid },
      });
      jobs.wake();
      return call.accepted(job);
    },
  }),
  operation({
    id: 'POST /v3/buildpacks/:guid/upload',
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 1024 ** 2,
    async run(call) {
      const { db, links, jobs } = call.context;
      const found = await find(db, call.params.guid);
      if (found.locked) throw unprocessable('Buildpack is locked');
      const row = await receive(call, found);
      await record(db, call, 'upload', row, {});
      const job = await jobs.enqueue({
        operation: 'buildpack.upload',
        actor: call.actor,
        resource: { type: 'buildpack', guid: found.guid },
      });
      jobs.wake();
      return { ...call.accepted(job), body: buildpackView(links, row) };
    },
  }),
];

export function buildpackView(links: Links, row: Buildpack): Record<string, unknown> {
  const path = `/v3/buildpacks/${row.guid}`;
  return {
    ...identityView(row),
    name: row.name,
    stack: row.stack,
    state: row.state,
    lifecycle: 'buildpack',
    filename: row.filename,
    position: row.position,
    enabled: row.enabled,
    locked: row.locked,
    metadata: metadataView(row),
    links: { self: links.to(path), upload: links.action(`${path}/upload`, 'POST') },
  };
}

async function find(db: Db, guid: string): Promise<Buildpack> {
  const row = await db.selectFrom('buildpacks').selectAll().where('guid', '=', guid).executeTakeFirst();
  if (!row) throw notFound('Buildpack');
  return row;
}

async function checkStack(db: Db, stack: string | null): Promise<void> {
  if (stack === null) return;
  const known = await db.selectFrom('stacks').select('guid').where('name', '=', stack).executeTakeFirst();
  if (!known) throw unprocessable(`Stack '${stack}' does not exist`);
}

/** Moves those at and after a position by one, and gives the position that is free then; without one, the end. */
async function makeRoom(trx: Db, wanted: number | undefined, moving?: Buildpack): Promise<number> {
  await sql`LOCK TABLE buildpacks IN SHARE ROW EXCLUSIVE MODE`.execute(trx);
  const guid = moving?.guid ?? '';
  const { count } = await trx
    .selectFrom('buildpacks')
    .select(sql<number>`count(*)`.as('count'))
    .where('guid', '!=', guid)
    .executeTakeFirstOrThrow();
  const position = Math.min(wanted ?? (count === 0 ? 1 : count + 1), count + 1);
  await sql`UPDATE buildpacks SET position = ordered.place + (ordered.place >= ${position})::int
    FROM (SELECT guid, row_number() OVER (ORDER BY position, id)::int AS place FROM buildpacks WHERE guid <> ${guid}) AS ordered
    WHERE ordered.guid = buildpacks.guid`.execute(trx);
  return position;
}

function taken(error: unknown, name: string, stack: string | null): unknown {
  if (!isUniqueViolation(error, 'buildpacks_name_stack')) return error;
  return unprocessable(
    stack === null
      ? `Buildpack with name '${name}' and an unassigned stack already exists`
      : `The buildpack name '${name}' with stack '${stack}' is already in use`,
  );
}

async function record(
  db: Db,
  call: Pick<Call, 'actor'>,
  verb: string,
  row: Buildpack,
  request: Record<string, unknown>,
): Promise<void> {
  await recordEvent(db, {
    type: `audit.buildpack.${verb}`,
    actor: call.actor,
    target: { guid: row.guid, type: 'buildpack', name: row.name },
    organizationGuid: null,
    data: { request },
  });
}

/** Keeps the zip under a key of its content; the former content stays for stagings that were given it. */
async function receive(call: Pick<Call, 'context' | 'stream' | 'contentType'>, found: Buildpack): Promise<Buildpack> {
  const { db, blobs } = call.context;
  const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
  return withUpload(call, limits, async ({ file }) => {
    if (!file) throw unprocessable('Upload must include a buildpack zip as "bits"');
    if (!/\.zip$/i.test(file.name)) throw unprocessable(`${file.name.slice(0, 100)} is not a zip`);
    try {
      (await openArchive(file.path, file.bytes, PACKAGE_LIMITS)).close();
    } catch (error) {
      if (!(error instanceof ArchiveRefusedError)) throw error;
      throw new CfError('BuildpackBitsUploadInvalid', `The buildpack upload is invalid: ${error.message}`, {
        cause: error,
      });
    }
    const key = `${found.guid}_${crypto.randomUUID()}`;
    const blob = await blobs.put('buildpacks', key, createReadStream(file.path), PACKAGE_MAX_BYTES);
    return db
      .updateTable('buildpacks')
      .set({ state: 'READY', filename: file.name.slice(0, 255), sha256: blob.sha256, blob_key: key, updated_at: now })
      .where('guid', '=', found.guid)
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}
