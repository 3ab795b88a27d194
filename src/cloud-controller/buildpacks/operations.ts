import { sql } from 'kysely';
import { Type } from 'typebox';
import { metadataView } from '../apps/view.ts';
import { recordEvent } from '../audit-events/store.ts';
import { type Db, now } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { type Call, created, ok, operation } from '../operation.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { identityView, type Links } from '../view.ts';
import { receiveBits } from './bits.ts';
import { type Buildpack, makeRoom, nameTaken } from './store.ts';

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
            throw isUniqueViolation(error, 'buildpacks_name_stack') ? nameTaken(name, stack) : error;
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
            throw isUniqueViolation(error, 'buildpacks_name_stack') ? nameTaken(name, stack) : error;
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
      const row = await receiveBits(call, found);
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
