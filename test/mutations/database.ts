import { noticedBy } from './mutation.ts';

/** Of the platform's PostgreSQL: its configuration, its data from one version to the next, and how an update replaces it. */
export const database = [
  ...noticedBy('test/integration/platform/postgresql-upgrade.test.ts', [
    [
      'which another supervisor',
      'platform/components/postgresql.ts',
      'if (wayBack && !carriedOver)',
      'if (wayBack && carriedOver)',
    ],
    ['that are not there', 'platform/components/postgresql.ts', 'if (served === null)', 'if (served !== -1)'],
    ['of two versions that', 'platform/engines/postgresql/clusters.ts', 'if (!origin && all', 'if (origin && all'],
    [
      'are not touched where the disk has no room',
      'platform/engines/postgresql/carry-over.ts',
      '  if (free >= needed) return;',
      '  if (free >= 0) return;',
    ],
    [
      'are carried over anew where code of before has served',
      'platform/engines/postgresql/clusters.ts',
      '      stale.push(inUse);\n      continue;\n',
      '',
    ],
    [
      'are not given to code of before',
      'platform/components/postgresql.ts',
      '      if (!wayBack || !carriedOver) throw tooNew(inUse);\n',
      '',
    ],
    [
      'come back where the newer one is not well',
      'platform/components/postgresql.ts',
      '    return serve(wayBack);',
      '    return serve(inUse);',
    ],
    [
      'begins with the image’s PostgreSQL',
      'platform/components/postgresql.ts',
      '    if (cluster.directory !== places.former) barFormer(places, cluster.version);\n',
      '',
    ],
  ]),
  ...noticedBy('test/unit/platform/updates.test.ts', [
    [
      'what was replaced and not settled',
      'platform/components/supervised.ts',
      'this.#fingerprint = component.settle ? undefined : fingerprint;',
      'this.#fingerprint = fingerprint;',
    ],
    ['what has a way back is replaced last', 'platform/updates.ts', 'component.replacedLast === true', 'false'],
    [
      'what has a way back and does not become well',
      'platform/updates.ts',
      'await this.#backFrom(supervised, trouble)',
      'trouble',
    ],
    [
      'what was started as less than it should be',
      'platform/components/supervised.ts',
      '      if (this.component.isBehind?.()) this.#fingerprint = undefined;\n',
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/postgresql.test.ts', [
    ['what a server that ends breaks off', 'kit/database.ts', '|^Client has encountered a connection error', ''],
    [
      'a server that is away is waited for',
      'kit/database.ts',
      'Math.max(1, Math.floor(max / 2)), CONNECT_MS, isAway)',
      'Math.max(1, Math.floor(max / 2)), CONNECT_MS)',
    ],
    ['SECURITY 22: an account that is not', 'platform/engines/postgresql/server.ts', 'mode: 0o710', 'mode: 0o755'],
  ]),
];
