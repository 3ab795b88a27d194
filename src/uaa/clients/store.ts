import type { Kysely, Selectable } from 'kysely';
import { UaaError } from '../errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { Clock } from '../settings.ts';

export type Client = Readonly<Selectable<UaaSchema['clients']>>;
/** What a caller may set; secrets come as hashes. */
export type ClientValues = Omit<Client, 'created_at' | 'updated_at'>;

/** The OAuth clients. */
export class ClientStore {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;
  /** Questions on their way to the database; calls that ask the same meanwhile share the answer. */
  readonly #asked = new Map<string, Promise<Client | null>>();

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  byId(clientId: string): Promise<Client | null> {
    const asked = this.#asked.get(clientId);
    if (asked) return asked;
    const answer = this.#db
      .selectFrom('clients')
      .selectAll()
      .where('client_id', '=', clientId)
      .executeTakeFirst()
      .then((row) => row ?? null)
      .finally(() => this.#asked.delete(clientId));
    this.#asked.set(clientId, answer);
    return answer;
  }

  async list(page: { offset: number; limit: number }): Promise<{ clients: Client[]; total: number }> {
    const clients = await this.#db
      .selectFrom('clients')
      .selectAll()
      .orderBy('client_id')
      .offset(page.offset)
      .limit(page.limit)
      .execute();
    const { total } = await this.#db
      .selectFrom('clients')
      .select((eb) => eb.fn.countAll<number>().as('total'))
      .executeTakeFirstOrThrow();
    return { clients, total };
  }

  /** Throws `client_already_exists`, and `invalid_client_definition` where a user has or had this id (SECURITY: a client must never pass for a user). */
  async create(values: ClientValues): Promise<Client> {
    await this.refuseUserId(values.client_id);
    const now = this.#clock();
    const row = await this.#db
      .insertInto('clients')
      .values({ ...values, created_at: now, updated_at: now })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (!row) throw new UaaError('client_already_exists', `Client already exists: ${values.client_id}`);
    return row;
  }

  /** Null where there is none. */
  async update(clientId: string, values: Partial<Omit<ClientValues, 'client_id'>>): Promise<Client | null> {
    const row = await this.#db
      .updateTable('clients')
      .set({ ...values, updated_at: this.#clock() })
      .where('client_id', '=', clientId)
      .returningAll()
      .executeTakeFirst();
    return row ?? null;
  }

  async delete(clientId: string): Promise<void> {
    await this.#db.deleteFrom('clients').where('client_id', '=', clientId).execute();
  }

  async refuseUserId(clientId: string): Promise<void> {
    const { exists } = await this.#db
      .selectNoFrom((eb) =>
        eb
          .or([
            eb.exists(eb.selectFrom('users').select('id').where('id', '=', clientId.toLowerCase())),
            eb.exists(eb.selectFrom('former_users').select('id').where('id', '=', clientId.toLowerCase())),
          ])
          .as('exists'),
      )
      .executeTakeFirstOrThrow();
    if (exists) throw new UaaError('invalid_client_definition', 'This client id cannot be used.');
  }
}
