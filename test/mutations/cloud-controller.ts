import { type Change, noticedBy } from './mutation.ts';

const ARCHIVE = 'cloud-controller/packages/archive.ts';
const AUTHORIZATION = 'cloud-controller/authorization.ts';
const LISTING = 'cloud-controller/listing.ts';
const NAMES = 'cloud-controller/domains/names.ts';
const PACKAGES = 'cloud-controller/packages/operations.ts';
const REDACT = 'cloud-controller/audit-events/redact.ts';
const SELECTOR = 'cloud-controller/label-selector.ts';
const SERVER = 'cloud-controller/server.ts';
const SYNC = 'cloud-controller/diego/sync.ts';
const USAGE = 'cloud-controller/quotas/usage.ts';
const YAML = 'kit/yaml.ts';

export const cloudController = [
  ...noticedBy('test/unit/house/opened-variables.test.ts', [
    [
      'SECURITY 28: they are opened',
      'cloud-controller/manifests/existing.ts',
      "import { sealedVariables, type VariablesReader, visibleVariables } from '../apps/variables.ts';",
      "import { openVariables as _openVariables } from '../apps/sealed-variables.ts';\nimport { sealedVariables, type VariablesReader, visibleVariables } from '../apps/variables.ts';",
    ],
  ]),
  ...noticedBy('test/unit/cloud-controller/sync.test.ts', [
    ['a rename is told', SYNC, 'const renamed = !isCalled(existing.owner, lrp.names);', 'const renamed = false;'],
    ['a rename is told', SYNC, '...(networkChanged', '...(true'],
  ]),
  ...noticedBy('test/integration/cloud-controller/nsync.test.ts', [
    [
      'DGO-01: a change has Diego asked',
      'cloud-controller/diego/nsync.ts',
      'else this.#changed.wake(guids);',
      'else this.#all.wake();',
    ],
    ['DGO-01: a host that', 'cloud-controller/diego/desired.ts', 'routes.host, ', ''],
    ['DGO-01: a group that is bound', 'cloud-controller/diego/desired.ts', "phase = 'running'", "phase = 'staging'"],
    [
      'the name of a space is told',
      'cloud-controller/apps/store.ts',
      'SELECT guid FROM apps WHERE space_guid = ANY(${guids}) UNION ALL',
      '',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/routes.test.ts', [
    ['SECURITY 6: is refused at every door', 'cloud-controller/routes/protocols.ts', ' && !http2Apps', ' && http2Apps'],
  ]),
  ...noticedBy('test/unit/cloud-controller/audit-events.test.ts', [
    [
      'keeps no secret, wherever it stands (SECURITY 28)',
      REDACT,
      'value.map((item) => hide(item, depth + 1))',
      'value',
    ],
  ]),
  ...noticedBy('test/unit/cloud-controller/requests.test.ts', [
    [
      'are bounded, however long or crooked (SECURITY 25)',
      SELECTOR,
      'if (parts.length > MAX_REQUIREMENTS)',
      'if (false)',
    ],
    ['are bounded, however long or crooked (SECURITY 25)', SELECTOR, 'if (text.length > MAX_LENGTH)', 'if (false)'],
  ]),
  ...noticedBy('test/integration/cloud-controller/quotas.test.ts', [
    [
      'SECURITY 30: scaling at once',
      'cloud-controller/quotas/within.ts',
      'await lockQuotas(trx, app.organization_guid);',
      '',
    ],
    ...['a deployment to more', 'what a cancelled deployment', 'what a deployment that is superseded'].map(
      (title): Change => [
        `SECURITY 30: ${title}`,
        'cloud-controller/deployments/create.ts',
        'largestOf(plan, of(old), of(next))',
        '0 * of(next)',
      ],
    ),
    [
      'SECURITY 30: a version that serves',
      'cloud-controller/diego/nsync.ts',
      'new Set([...before, ...apps])',
      'new Set(apps)',
    ],
    ...['a version that serves', 'a restart keeps as many'].map(
      (title): Change => [
        `SECURITY 30: ${title}`,
        'cloud-controller/quotas/outgoing-bound.ts',
        'Math.min(lrp.instances, fitting(lrp, room))',
        'lrp.instances',
      ],
    ),
    ['SECURITY 30: a staging takes', USAGE, "builds WHERE state = 'STAGING'", "builds WHERE state = ''"],
    ['SECURITY 30: what instances run', USAGE, 'greatest(memory_mb, version_memory_mb)', 'memory_mb'],
    [
      'SECURITY 30: the memory that one',
      'cloud-controller/quotas/enforce.ts',
      'check(appBefore.runningMemoryMb, appAfter.runningMemoryMb, limits.per_process_memory_mb, perProcess);',
      '',
    ],
    [
      'SECURITY 30: a step of a deployment',
      'cloud-controller/deployments/store.ts',
      '.set({ error })',
      '.set({ error: null })',
    ],
    [
      'QTA-01: with a full quota',
      'cloud-controller/quotas/enforce.ts',
      'if (is > was && exceeds(is, limit))',
      'if (exceeds(is, limit))',
    ],
  ]),
  ...noticedBy('test/unit/house/counted-writes.test.ts', [
    [
      'SECURITY 30: what counts',
      'cloud-controller/tasks/create.ts',
      'const row = await insertTask(trx, {',
      "const row = await trx.insertInto('tasks').values({",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/feature-flags.test.ts', [
    ['SECURITY 28: with ', 'cloud-controller/apps/variables.ts', 'if (isAdmin) return false;', 'return false;'],
  ]),
  ...noticedBy('test/integration/cloud-controller/refused-values.test.ts', [
    ['a name holds nothing', 'cloud-controller/names.ts', 'pattern: PRINTABLE', "pattern: ''"],
  ]),
  ...noticedBy('test/integration/cloud-controller/apps.test.ts', [
    [
      'CC-02, SECURITY 28: a variable',
      'cloud-controller/audit-events/store.ts',
      'bounded(redact(event.data))',
      'bounded(event.data)',
    ],
    [
      'CC-02, SECURITY 28: a variable',
      'cloud-controller/tasks/create.ts',
      '{ task_guid: guid, request: { ...body } }',
      '{ task_guid: guid, said: body.command }',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/domains.test.ts', [
    [
      'SECURITY 10: whoever names a domain',
      'cloud-controller/domains/subject.ts',
      "if (place !== 'foundation') await authorize",
      'if (false) await authorize',
    ],
    ['SECURITY 10: no domain is one', NAMES, 'if (isAddress(name)) problems', 'if (false) problems'],
    [
      'a name belongs to one owner, with everything below it (SECURITY 10)',
      NAMES,
      "if (below) throw cannotBeCreated(wanted.name, below, 'another domain');",
      '',
    ],
    [
      'a name belongs to one owner, with everything below it (SECURITY 10)',
      NAMES,
      "if (above) throw cannotBeCreated(wanted.name, above, 'another domain');",
      '',
    ],
    [
      'a name belongs to one owner, with everything below it (SECURITY 10)',
      NAMES,
      "if (route) throw cannotBeCreated(wanted.name, route.name, 'a route');",
      '',
    ],
    [
      'a name belongs to one owner, with everything below it (SECURITY 10)',
      NAMES,
      'pg_advisory_xact_lock(',
      'pg_advisory_xact_lock_shared(',
    ],
    [
      'a name belongs to one owner, with everything below it (SECURITY 10)',
      NAMES,
      'return getPublicSuffix(name, { allowPrivateDomains: true }) === name;',
      'return false;',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/door.test.ts', [
    [
      'SECURITY 25: a compressed body',
      'kit/http.ts',
      "(request.headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity'",
      'false',
    ],
    [
      'SECURITY 25: every operation',
      SERVER,
      'const caller = await admission.pass(',
      "await new Promise((resolve) => request.raw.once('data', resolve));\n    const caller = await admission.pass(",
    ],
    [
      'SECURITY 25: a body without end',
      SERVER,
      'const caller = await admission.pass(',
      `let bytes = 0;
    await new Promise((resolve) =>
      request.raw.on('data', (data) => (bytes += data.length) > 16_777_216 && resolve(null)).on('end', resolve),
    );
    const caller = await admission.pass(`,
    ],
    ['SECURITY 25: what requests name', SERVER, 'await forAnswer(kept, () =>', 'await Promise.resolve().then(() =>'],
    ['SECURITY 25: an upload is refused', SERVER, 'hasBody(request.raw)) {', 'false) {'],
    [
      'SECURITY 25: a JSON body',
      SERVER,
      'callerKey(caller, request.raw), operation.bodyLimitBytes)',
      'callerKey(caller, request.raw), 1024 ** 3)',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/fields-and-includes.test.ts', [
    [
      'what each role sees of what it sees (SECURITY 21',
      'cloud-controller/fields.ts',
      'FIELDS[field].some((role) => held.has(role))',
      'held.size > 0 && FIELDS[field].length > 0',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/manifests.test.ts', [
    [
      'SECURITY 25: a hostile manifest',
      YAML,
      'if (document.errors.length > 0) throw new YamlRefusedError(',
      'if (document.errors.length > 0) throw new Error(',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/packages.test.ts', [
    ['SECURITY 24: a hostile upload', ARCHIVE, 'if (!staysInside(entry.path, target))', 'if (false)'],
    [
      'SECURITY 24: a hostile upload',
      ARCHIVE,
      'if (kind !== 0 && kind !== REGULAR &&',
      'if (false && kind !== 0 && kind !== REGULAR &&',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/door.test.ts', [
    [
      'SECURITY 25: a token that may do nothing',
      'cloud-controller/admission.ts',
      'this.#count(sender, request, reply);\n    checkScope(',
      'checkScope(',
    ],
    [
      'SECURITY 25: the users of many names',
      'cloud-controller/users/names.ts',
      'await context.users.byNames(names)',
      '(await Promise.all(names.map((name) => context.users.byNames([name])))).flat()',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/retention.test.ts', [
    [
      'SECURITY 30: of what one may make',
      'cloud-controller/retention/rules.ts',
      "actor_guid || ' ' || coalesce(organization_guid, '')",
      'actor_guid',
    ],
    ['SECURITY 30: one caller', 'cloud-controller/jobs/store.ts', 'await refuseUnfinished(trx, job.actor);', ''],
    [
      'SECURITY 30: an event keeps',
      'cloud-controller/audit-events/store.ts',
      'bounded(redact(event.data))',
      'redact(event.data)',
    ],
    ['SECURITY 30: while the disk', SERVER, 'await admitContent(context, caller);', ''],
  ]),
  ...noticedBy('test/integration/cloud-controller/docker.test.ts', [
    [
      'CC-02, SECURITY 28: the password',
      'cloud-controller/docker/images.ts',
      'sealer.seal(password, contextOf(table, guid))',
      "{ keyLabel: 'none', data: Buffer.from(password) }",
    ],
    [
      'CC-02, SECURITY 28: the password',
      PACKAGES,
      'return created(await shown(call, packages, made));',
      'return created({ ...(await shown(call, packages, made)), data: body.data });',
    ],
    [
      'CC-02, SECURITY 28: the password',
      'cloud-controller/audit-events/store.ts',
      'bounded(redact(event.data))',
      'bounded(event.data)',
    ],
    [
      'CC-02, SECURITY 28: the password',
      PACKAGES,
      'logLine(context, subject.app, `Creating package',
      'logLine(context, subject.app, `${JSON.stringify(body.data)} Creating package',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/app-actions.test.ts', [
    [
      'SECURITY 30: what is replaced',
      'cloud-controller/processes/outgoing.ts',
      "const LONGEST = sql`interval '1 hour'`",
      "const LONGEST = sql`interval '2 hours'`",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/apps.test.ts', [
    ['LOG-01: ', 'cloud-controller/apps/operations.ts', 'if (body.name !== undefined) context.changed([guid]);', ''],
    ...['spaces', 'organizations'].map(
      (resource) =>
        [
          'LOG-01: ',
          `cloud-controller/${resource}/operations.ts`,
          'if (body.name !== undefined) context.changed([subject.guid]);',
          '',
        ] as const,
    ),
    [
      'what serves until',
      'cloud-controller/diego/wanted.ts',
      '...(await comparedOf(lrp)),',
      "...(await comparedOf({ ...lrp, app_name: 'web' })),",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/list-rows.test.ts', [
    [
      'ARCH-13: who has no role',
      LISTING,
      '({ spaces }) => within(column, spaces)',
      '() => within(column, { everything: true })',
    ],
    [
      'ARCH-13: who has no role',
      'cloud-controller/packages/subject.ts',
      "seen: inSpaces('apps.space_guid')",
      'seen: () => null',
    ],
    // Alternatives that stand beside what narrows them.
    [
      'ARCH-13: who has no role',
      'cloud-controller/list.ts',
      '`(${sql.join(held, sql` OR `)})`',
      '`${sql.join(held, sql` OR `)}`',
    ],
    [
      'ARCH-13: who has no role',
      LISTING,
      'const conditions = commonConditions(table, query);\n      for (const condition of [sees && seen(sees), inside])',
      'const conditions = commonConditions(table, query);\n      for (const condition of [query.filters.size > 0 ? null : sees && seen(sees), inside])',
    ],
    [
      'ARCH-13: a developer of another space',
      'cloud-controller/deployments/subject.ts',
      "seen: inSpaces('apps.space_guid')",
      'seen: () => null',
    ],
    [
      'ARCH-13: a developer of another space',
      'cloud-controller/isolation-segments/operations.ts',
      'subject.guid, seenSpaces(caller))',
      'subject.guid, { everything: true })',
    ],
    ['ARCH-13: an auditor of the organization', LISTING, 'seesBy(caller, id), null)', 'null, null)'],
  ]),
  ...noticedBy('test/integration/cloud-controller/role-matrix.test.ts', [
    [
      'who may do what (RBAC-01, RBAC-02, RBAC-03, RBAC-04, SECURITY 21)',
      AUTHORIZATION,
      'if (!may) throw notAuthorized();',
      '',
    ],
    [
      'a client whose id is the guid of a user has nothing of that user (SECURITY 23)',
      AUTHORIZATION,
      'return user ? null : clientId;',
      'return clientId;',
    ],
  ]),
];
