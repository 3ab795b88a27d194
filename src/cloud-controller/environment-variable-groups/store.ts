import { sql } from 'kysely';
import type { Sealer } from '../../kit/crypto.ts';
import { type Db, now, type Trx } from '../database.ts';

declare module '../database.ts' {
  interface Database {
    environment_variable_groups: EnvironmentVariableGroupTable;
  }
}

export const GROUP_NAMES = ['running', 'staging'] as const;
export type GroupName = (typeof GROUP_NAMES)[number];

/** Variables every container gets; sealed, since they may hold secrets (CC-02). */
export interface EnvironmentVariableGroupTable {
  name: GroupName;
  key_label: string;
  data: Buffer;
  updated_at: Date;
}

export interface EnvironmentVariableGroup {
  variables: Readonly<Record<string, string>>;
  updatedAt: Date | null;
}

/** The group of running or of staging containers; empty until somebody sets it. */
export async function readGroup(db: Db, sealer: Sealer, name: GroupName): Promise<EnvironmentVariableGroup> {
  const row = await db
    .selectFrom('environment_variable_groups')
    .selectAll()
    .where('name', '=', name)
    .executeTakeFirst();
  if (!row) return { variables: {}, updatedAt: null };
  // Sealed under our key: nobody else has written it.
  const text = sealer.open({ keyLabel: row.key_label, data: row.data }, context(name));
  const variables: Record<string, string> = {};
  for (const [key, value] of Object.entries(JSON.parse(text) as Record<string, unknown>))
    variables[key] = String(value);
  return { variables, updatedAt: row.updated_at };
}

/** Changes of a group wait for each other, that of one which is not there yet as well. */
export async function lockGroup(trx: Trx, name: GroupName): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('environment-variable-groups'), hashtext(${name}))`.execute(trx);
}

export async function writeGroup(
  trx: Trx,
  sealer: Sealer,
  name: GroupName,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const { keyLabel, data } = sealer.seal(JSON.stringify(variables), context(name));
  await trx
    .insertInto('environment_variable_groups')
    .values({ name, key_label: keyLabel, data, updated_at: now })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ key_label: keyLabel, data, updated_at: now }))
    .execute();
}

function context(name: GroupName): string {
  return `environment_variable_groups/${name}`;
}
