import { type Selectable, sql } from 'kysely';
import type { Sealed } from '../apps/sealed-variables.ts';
import type { Db, ResourceColumns, Trx, WithDefault } from '../database.ts';
import { notFound } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { jsonb } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    revisions: RevisionTable;
  }
}

export interface RevisionTable extends ResourceColumns {
  app_guid: Guid<'app'>;
  version: number;
  droplet_guid: Guid<'droplet'>;
  description: string;
  /** The app's variables as they were, sealed as there. */
  env_key_label: string | null;
  env_data: Buffer | null;
  /** Of each type of process; null where the droplet's own is used. */
  commands: WithDefault<Readonly<Record<string, string | null>>>;
}

/** Without its variables. `deployable`: its droplet is there and has its bits. */
export type Revision = Omit<Selectable<RevisionTable>, 'env_key_label' | 'env_data'> & { deployable: boolean };

const DEPLOYABLE = sql<boolean>`EXISTS (SELECT FROM droplets
  WHERE droplets.guid = revisions.droplet_guid AND droplets.state = 'STAGED')`.as('deployable');

/** A revision but for its variables. */
const COLUMNS = [
  'revisions.id',
  'revisions.guid',
  'revisions.created_at',
  'revisions.updated_at',
  'revisions.labels',
  'revisions.annotations',
  'revisions.app_guid',
  'revisions.version',
  'revisions.droplet_guid',
  'revisions.description',
  'revisions.commands',
] as const;

export function selectRevisions(db: Db) {
  return db.selectFrom('revisions').select(COLUMNS).select(DEPLOYABLE);
}

export async function findRevision(db: Db, guid: string): Promise<Revision | null> {
  return (await selectRevisions(db).where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** Sealed as the app's own are. */
export async function sealedVariablesOf(db: Db, { guid }: Pick<Revision, 'guid'>): Promise<Sealed> {
  const row = await db
    .selectFrom('revisions')
    .select(['app_guid as guid', 'env_key_label', 'env_data'])
    .where('guid', '=', guid)
    .executeTakeFirst();
  if (!row) throw notFound('Revision');
  return row;
}

export async function latestRevision(db: Db, appGuid: Guid<'app'>) {
  return db
    .selectFrom('revisions')
    .select(['guid', 'version', 'droplet_guid'])
    .where('app_guid', '=', appGuid)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Gives its guid. `variables` are the app's, as they lie. */
export async function insertRevision(
  trx: Trx,
  variables: Sealed,
  values: {
    appGuid: Guid<'app'>;
    version: number;
    dropletGuid: Guid<'droplet'>;
    description: string;
    commands: Readonly<Record<string, string | null>>;
  },
): Promise<string> {
  const guid = crypto.randomUUID();
  await trx
    .insertInto('revisions')
    .values({
      guid,
      app_guid: values.appGuid,
      version: values.version,
      droplet_guid: values.dropletGuid,
      description: values.description,
      env_key_label: variables.env_key_label,
      env_data: variables.env_data,
      commands: jsonb(values.commands),
    })
    .execute();
  return guid;
}
