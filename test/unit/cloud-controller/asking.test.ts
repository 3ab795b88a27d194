import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely';
import { permit } from '../../../src/cloud-controller/asking.ts';
import type { Caller } from '../../../src/cloud-controller/authorization.ts';
import type { Database } from '../../../src/cloud-controller/database.ts';
import { unprocessable } from '../../../src/cloud-controller/errors.ts';
import { eachInBody, gathered, NOTHING_NAMED } from '../../../src/cloud-controller/subject.ts';

interface Row {
  type: string;
  space_guid: string | null;
  organization_guid: string;
}

/** A database that counts what it is asked, and answers with these roles. */
function databaseOf(roles: readonly Row[]) {
  const asked: CompiledQuery[] = [];
  class Driver extends DummyDriver {
    override async acquireConnection() {
      const connection = await super.acquireConnection();
      const executeQuery = async <R>(query: CompiledQuery) => {
        asked.push(query);
        return { rows: roles as unknown as R[] };
      };
      return { streamQuery: connection.streamQuery.bind(connection), executeQuery };
    }
  }
  const db = new Kysely<Database>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new Driver(),
      createIntrospector: (of) => new PostgresIntrospector(of),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
  return { db, asked };
}

const ID = 'POST /v3/security_groups/:guid/relationships/running_spaces';
const manager: Caller = {
  userGuid: 'manager',
  actor: { guid: 'manager', type: 'user', name: 'manager' },
  globalRoles: new Set(),
  mayRead: true,
  mayWrite: true,
};
const managed = { type: 'organization_manager', space_guid: null, organization_guid: 'own' };
const audited = { type: 'space_auditor', space_guid: 'audited', organization_guid: 'other' };

/** Spaces named "own-…" lie in the organization "own", others in "other"; those named "none-…" are not there. */
const space = gathered('Space', {
  findAll: async (_db, guids) =>
    new Map(
      guids
        .filter((guid) => !guid.startsWith('none'))
        .map((guid) => [guid, { guid, organization: guid.startsWith('own') ? 'own' : 'other' }]),
    ),
  place: ({ guid, organization }) => ({
    organization: { guid: organization, suspended: guid.endsWith('suspended') },
    space: { guid },
  }),
});
const sources = new Map([
  ['spaces', eachInBody('', space, (...guids) => unprocessable(`there are no ${guids.join(', ')}`))],
]);

async function bind(guids: readonly string[], caller = manager) {
  const { db, asked } = databaseOf([managed, audited]);
  const body = { data: guids.map((guid) => ({ guid })) };
  const query = { values: new Map<string, string>() };
  const permitted = await permit({ id: ID, db, caller, params: {}, query, body }, sources, NOTHING_NAMED);
  return { found: permitted.found.get('spaces'), asked: asked.length };
}

describe('an operation on many things', () => {
  it('asks the database once for the roles at all of them', async () => {
    const guids = Array.from({ length: 5_000 }, (_, at) => `own-${at}`);
    const { found, asked } = await bind([...guids, guids[0]!]);
    assert.equal(asked, 1);
    assert.deepEqual(
      found,
      guids.map((guid) => ({ guid, organization: 'own' })),
    );
  });

  it('names all that are not there, and those the caller may not know of as if they were not', async () => {
    const guids = ['own-1', 'none-1', 'unseen', 'audited', 'none-2'];
    await assert.rejects(bind(guids), { message: 'there are no none-1, unseen, none-2' });
  });

  it('is refused where the caller may do it to all but one, or where one lies in a suspended organization', async () => {
    await assert.rejects(bind(['own-1', 'audited']), { title: 'NotAuthorized' });
    await assert.rejects(bind(['own-1', 'own-suspended']), { title: 'OrgSuspended' });
    assert.equal((await bind([])).asked, 0);
  });

  it('a role in one space counts in no other, and nobody else’s roles count', async () => {
    await assert.rejects(bind(['audited-not']), { message: 'there are no audited-not' });
    const client = { ...manager, userGuid: null };
    await assert.rejects(bind(['own-1'], client), { message: 'there are no own-1' });
  });
});
