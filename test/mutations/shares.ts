import { noticedBy } from './mutation.ts';

const ADVANCE = 'cloud-controller/deployments/advance.ts';
const STORE = 'cloud-controller/deployments/store.ts';
const DOMAINS = 'cloud-controller/domains/jobs.ts';
const SHARES = 'kit/database-shares.ts';
const GATE = 'uaa/http/gate.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
/** Of what is done for many in turn, and of what each may take of the database. */
export const shares = [
  ...noticedBy('test/integration/cloud-controller/jobs.test.ts', [
    ['SECURITY 30: however many', 'cloud-controller/jobs/queue.ts', 'busy.length >= CONCURRENT_OF_CALLER', 'false'],
    [
      'SECURITY 30: they go round',
      'cloud-controller/jobs/store.ts',
      'nextCaller(sql`${after}::text`)',
      "nextCaller(sql`''::text`)",
    ],
    ['one is taken by one', 'cloud-controller/jobs/store.ts', 'AND (locked_until IS NULL OR locked_until < now())', ''],
  ]),
  ...noticedBy('test/integration/cloud-controller/deployments.test.ts', [
    [
      'SECURITY 30: whoever holds up',
      'cloud-controller/database.ts',
      'return db.transaction().execute(async (trx) => {\n    await LOCK_WAIT.execute(trx);',
      'return db.transaction().execute(async (trx) => {',
    ],
    [
      'SECURITY 30: one that fails',
      ADVANCE,
      "log.warn('a deployment took no step",
      "throw error;\n      log.warn('a deployment took no step",
    ],
    ['SECURITY 30: one that is paused', STORE, "    .where('status_reason', '!=', 'PAUSED')\n", ''],
    ['SECURITY 30: one that is paused', ADVANCE, 'lrps)) === null) continue;', 'lrps)) === null) {}'],
    [
      'one that is superseded',
      STORE,
      "    .where('status_value', '=', 'ACTIVE')\n    .where('error',",
      "    .where('error',",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/app-actions.test.ts', [
    [
      'SECURITY 30: what a quota leaves',
      'cloud-controller/quotas/outgoing-bound.ts',
      'least(instances, ${instances}::integer)',
      '${instances}::integer',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/domains-deletion.test.ts', [
    ['SECURITY 30: in batches', 'cloud-controller/routes/on-domain.ts', 'const BATCH = 100;', 'const BATCH = 1000;'],
    ['SECURITY 30: in batches', DOMAINS, 'if (isLast) await lock', 'await lock'],
    [
      'SECURITY 30: with its organization',
      DOMAINS,
      "await recordEvent(trx, domainEvent('audit.domain.delete-request', actor, domain, { request: {} }));",
      '',
    ],
    [
      'SECURITY 30: with a route and a domain',
      'cloud-controller/organizations/jobs.ts',
      'if (domain) return false;',
      '',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/retention.test.ts', [
    ['SECURITY 30: a rule that fails', 'kit/reconcile.ts', 'done = false;', 'throw error;'],
    ['SECURITY 30: what is beyond', 'cloud-controller/retention/sweep.ts', 'found = rows.length;', 'found = 0;'],
  ]),
  ...noticedBy('test/integration/cloud-controller/database-shares.test.ts', [
    ['SECURITY 30: are of whom', SHARES, 'const work = { ...known };', 'const work = known;'],
    ['SECURITY 30: are of whom', SHARES, 'if (work) work.owner = owner;', ''],
    ['of an answer', 'kit/shared-answers.ts', 'this.#outside(() => this.#ask(key))', 'this.#ask(key)'],
    ['a migration may', 'kit/database.ts', '    await sql`SET LOCAL statement_timeout = 0`.execute(trx);\n', ''],
    [
      'SECURITY 30: the API’s own',
      'cloud-controller/authorization.ts',
      '    nowFor(ownerKey(sender.actor));\n    return sender;',
      '    return sender;',
    ],
    [
      'SECURITY 30: those of other parts',
      'cloud-controller/authorization.ts',
      'forOwner(ownerKey(sender.actor), false,',
      'forOwner(crypto.randomUUID(), false,',
    ],
    [
      'SECURITY 30: those of what cells',
      'cloud-controller/storage/keep.ts',
      '  nowFor(`organization ${app.organization_guid}`);\n',
      '',
    ],
  ]),
  ...noticedBy('test/integration/uaa/database-shares.test.ts', [
    ['SECURITY 30: a code that', 'uaa/uaa.ts', "        'x-forwarded-for': address,\n", ''],
    [
      'SECURITY 30: of the connections to the database whoever',
      GATE,
      'nowFor(`actor ${userId ?? clientId}`)',
      'void [userId, clientId]',
    ],
    [
      'SECURITY 30: of the connections to the database whoever',
      'uaa/oauth/token-verifier.ts',
      '    genuine(origin);\n',
      '',
    ],
    [
      'SECURITY 30: of the connections to the database an address',
      'kit/http.ts',
      'forAddress(request.raw, done)',
      'done()',
    ],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
