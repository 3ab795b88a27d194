import { randomUUID } from 'node:crypto';
import type { Kysely, Selectable, Transaction } from 'kysely';
import { SharedAnswers } from '../../kit/shared-answers.ts';
import { UaaError } from '../errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { ScimFilter } from '../scim/filter.ts';
import { CLIENT_ATTRIBUTES, filterSql, type ScimPage, type SortOrder } from '../scim/sql.ts';
import type { Clock } from '../settings.ts';

export type Client = Readonly<Selectable<UaaSchema['clients']>>;
/** What a caller may set; secrets come as hashes. */
export type ClientValues = Omit<
  Client,
  'created_at' | 'updated_at' | 'token_generation' | 'least_token_generation' | 'token_salt'
>;

export type ClientChange = Partial<Omit<ClientValues, 'client_id'>>;

/** The OAuth clients. */
export class ClientStore {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;
  /** What many ask at once costs one query, and none sees a client as it was before they asked. */
  readonly #clients = new SharedAnswers((clientId: string) => this.#read(clientId));

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  byId(clientId: string): Promise<Client | null> {
    return this.#clients.of(clientId);
  }

  async #read(clientId: string): Promise<Client | null> {
    const row = await this.#db.selectFrom('clients').selectAll().where('client_id', '=', clientId).executeTakeFirst();
    return row ?? null;
  }

  async list(
    filter: ScimFilter | null,
    page: ScimPage,
    order: SortOrder,
  ): Promise<{ clients: Client[]; total: number }> {
    const where = filterSql(filter, CLIENT_ATTRIBUTES);
    const clients = await this.#db
      .selectFrom('clients')
      .selectAll()
      .where(where)
      .orderBy(order.column(CLIENT_ATTRIBUTES), order.direction)
      .orderBy('client_id')
      .offset(page.offset)
      .limit(page.limit)
      .execute();
    const { total } = await this.#db
      .selectFrom('clients')
      .select((eb) => eb.fn.countAll<number>().as('total'))
      .where(where)
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

  /**
   * Writes what `decide` makes of the client as it is, while nobody else changes it; what `decide` throws leaves it alone. What
   * takes time (a hash) is done before. Null where there is none.
   */
  change(clientId: string, decide: (current: Client) => ClientChange): Promise<Client | null> {
    return this.#locked(clientId, (trx, current) =>
      trx
        .updateTable('clients')
        .set({ ...decide(current), updated_at: this.#clock() })
        .where('client_id', '=', clientId)
        .returningAll()
        .executeTakeFirstOrThrow(),
    );
  }

  /** Ends every token of the client; false where there is none of this id. */
  async endTokens(clientId: string): Promise<boolean> {
    const changed = await this.#db
      .updateTable('clients')
      .set({ token_salt: randomUUID() })
      .where('client_id', '=', clientId)
      .returning('client_id')
      .executeTakeFirst();
    return changed !== undefined;
  }

  /** Unless `judge` throws at what it is by then. Gives what it was, null where there is none. */
  delete(clientId: string, judge: (current: Client) => void): Promise<Client | null> {
    return this.#locked(clientId, async (trx, current) => {
      judge(current);
      await trx.deleteFrom('clients').where('client_id', '=', clientId).execute();
      return current;
    });
  }

  async #locked(
    clientId: string,
    work: (trx: Transaction<UaaSchema>, current: Client) => Promise<Client>,
  ): Promise<Client | null> {
    return this.#db.transaction().execute(async (trx) => {
      const current = await trx
        .selectFrom('clients')
        .selectAll()
        .where('client_id', '=', clientId)
        .forUpdate()
        .executeTakeFirst();
      return current ? work(trx, current) : null;
    });
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
