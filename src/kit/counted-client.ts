import type { PostgresCursor, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg from 'pg';
import { readCounter } from './answer-account.ts';

/** What is asked of a connection of `pg`. */
interface Client {
  query<Row>(query: {
    text: string;
    values: unknown[];
    types?: pg.CustomTypesConfig;
  }): Promise<PostgresQueryResult<Row>>;
  query<Row>(cursor: PostgresCursor<Row>): PostgresCursor<Row>;
  release(): void;
}

type Count = NonNullable<ReturnType<typeof readCounter>>;

/** What a value takes in its row, beside what it holds. */
const VALUE_BYTES = 16;

/**
 * A connection that enters what it reads into the account of the answer that it is read for, value by value as it comes: what
 * is too much ends before the rest of it is in memory. The pool gives out no other, so that nothing is read past the account.
 */
export class CountedClient implements PostgresPoolClient {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Throws what the account throws; the connection is whole after it. */
  query<Row>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query<Row>(cursor: PostgresCursor<Row>): PostgresCursor<Row>;
  query<Row>(
    query: string | PostgresCursor<Row>,
    parameters: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<Row>> | PostgresCursor<Row> {
    const count = readCounter();
    if (typeof query !== 'string') {
      const cursor = this.#client.query(query);
      return count ? new CountedCursor(cursor, count) : cursor;
    }
    const types = count ? { types: countingParsers(count) } : {};
    return this.#client.query<Row>({ text: query, values: [...parameters], ...types });
  }

  release(): void {
    this.#client.release();
  }
}

class CountedCursor<Row> implements PostgresCursor<Row> {
  readonly #cursor: PostgresCursor<Row>;
  readonly #count: Count;

  constructor(cursor: PostgresCursor<Row>, count: Count) {
    this.#cursor = cursor;
    this.#count = count;
  }

  // The cursor of the library cannot bear it where one of its parsers throws.
  async read(rowsCount: number): Promise<Row[]> {
    const rows = await this.#cursor.read(rowsCount);
    for (const row of rows) this.#count(row);
    return rows;
  }

  close(): Promise<void> {
    return this.#cursor.close();
  }
}

/** Where one throws, the library takes no more rows, and tells of it once the server has sent the rest. */
function countingParsers(count: Count): pg.CustomTypesConfig {
  return {
    getTypeParser: (oid: number, format?: 'text' | 'binary') => {
      const parse = pg.types.getTypeParser(oid, format ?? 'text');
      return (text: string | Buffer) => {
        const value: unknown = parse(text);
        count(value, VALUE_BYTES);
        return value;
      };
    },
  };
}
