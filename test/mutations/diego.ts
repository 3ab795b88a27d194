import { noticedBy } from './mutation.ts';

const LRPS = 'diego/desired-lrps/store.ts';

export const diego = [
  ...noticedBy('test/unit/diego/placement.test.ts', [
    [
      'SECURITY 32: an organization',
      'diego/auction/placement.ts',
      'if (held !== null && held[cell]! >=',
      'if (false && held![cell]! >=',
    ],
  ]),
  ...noticedBy('test/integration/diego/neighbours.test.ts', [
    [
      "SECURITY 32: a neighbour's app and staging",
      'diego/auction/placement.ts',
      'if (held !== null && held[cell]! >=',
      'if (false && held![cell]! >=',
    ],
    [
      'SECURITY 32: a batch has something of every organization',
      'diego/auction/store.ts',
      "ORDER BY row_number() OVER (PARTITION BY ${organizationOf('d')} ORDER BY a.index, a.since_ms), a.since_ms",
      'ORDER BY a.index, a.since_ms',
    ],
  ]),
  ...noticedBy('test/integration/diego/failures.test.ts', [
    [
      'DGO-04: a Diego that was away',
      'diego/convergence/converger.ts',
      'if (!this.#couldHear(now)) return',
      'if (now < 0) return',
    ],
  ]),
  ...noticedBy('test/integration/diego/renames.test.ts', [
    ['LOG-01: a rename reaches', LRPS, 'owner = owner || ${names}::jsonb', 'owner = owner'],
    ['LOG-01: a rename reaches', LRPS, 'if (lrp.owner) Object.assign(', 'if (false) Object.assign('],
    ['LOG-01: a rename reaches', 'diego/cell-registry.ts', 'names: names.get(lrp.processGuid) })', '})'],
    ['LOG-01: a rename reaches', 'diego/bbs.ts', 'if (names) passOn(', 'if (false) passOn('],
    [
      'whose an instance is stays',
      LRPS,
      'Object.assign(lrp.owner, namesOf(stored(OwnerSchema, row.owner)))',
      'Object.assign(lrp.owner, stored(OwnerSchema, row.owner))',
    ],
    [
      'a cell of the version before',
      'diego/bbs.ts',
      'error instanceof ConnectError && error.code === Code.Unimplemented',
      'false',
    ],
  ]),
];
