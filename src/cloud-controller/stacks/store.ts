import type { Selectable } from 'kysely';
import type { Db, ResourceColumns } from '../database.ts';

declare module '../database.ts' {
  interface Database {
    stacks: StackTable;
  }
}

export interface StackTable extends ResourceColumns {
  name: string;
  description: string | null;
}
export type Stack = Selectable<StackTable>;

/** The stack an app gets that names none. */
export const DEFAULT_STACK = 'debian12';

export async function findStack(db: Db, guid: string): Promise<Stack | null> {
  return (await db.selectFrom('stacks').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function isStack(db: Db, name: string): Promise<boolean> {
  const row = await db.selectFrom('stacks').select('guid').where('name', '=', name).executeTakeFirst();
  return row !== undefined;
}

/** Makes sure the default stack is there. */
export async function seedStacks(db: Db): Promise<void> {
  await db
    .insertInto('stacks')
    .values({ guid: crypto.randomUUID(), name: DEFAULT_STACK, description: 'Debian 12 (bookworm), minimal' })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
}
