import type { Sealer } from '../../kit/crypto.ts';
import { type Db, now } from '../database.ts';

export type GroupName = 'running' | 'staging';

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
  const text = sealer.open({ keyLabel: row.key_label, data: row.data }, context(name));
  const variables: Record<string, string> = {};
  for (const [key, value] of Object.entries(JSON.parse(text) as Record<string, unknown>))
    variables[key] = String(value);
  return { variables, updatedAt: row.updated_at };
}

export async function writeGroup(
  db: Db,
  sealer: Sealer,
  name: GroupName,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const { keyLabel, data } = sealer.seal(JSON.stringify(variables), context(name));
  await db
    .insertInto('environment_variable_groups')
    .values({ name, key_label: keyLabel, data, updated_at: now })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ key_label: keyLabel, data, updated_at: now }))
    .execute();
}

function context(name: GroupName): string {
  return `environment_variable_groups/${name}`;
}
