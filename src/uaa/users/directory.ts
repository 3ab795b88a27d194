import { type Kysely, sql } from 'kysely';
import type { DirectoryUser, UserDirectory } from '../../contracts/user-directory.ts';
import type { UaaSchema } from '../schema.ts';

const MOST = 5_000;

/** Names of users and users of names, for the Cloud Controller. */
export class Directory implements UserDirectory {
  readonly #db: Kysely<UaaSchema>;

  constructor(db: Kysely<UaaSchema>) {
    this.#db = db;
  }

  async byIds(ids: readonly string[]): Promise<DirectoryUser[]> {
    if (ids.length === 0) return [];
    return this.#users().where(sql<boolean>`id = ANY (${ids})`).execute();
  }

  async byNames(userNames: readonly string[], origin?: string): Promise<DirectoryUser[]> {
    if (userNames.length === 0) return [];
    return this.#users()
      .where(sql<boolean>`lower(user_name) IN (SELECT lower(name) FROM unnest(${userNames}::text[]) AS given (name))`)
      .$if(origin !== undefined, (query) => query.where('origin', '=', origin!))
      .orderBy('origin')
      .execute();
  }

  async byPartialNames(parts: readonly string[]): Promise<DirectoryUser[]> {
    if (parts.length === 0) return [];
    return this.#users()
      .where((eb) => eb.or(parts.map((part) => sql<boolean>`position(lower(${part}::text) IN lower(user_name)) > 0`)))
      .orderBy('user_name')
      .limit(MOST)
      .execute();
  }

  #users() {
    return this.#db.selectFrom('users').select(['id', 'user_name as userName', 'origin']);
  }
}
