import { noticedBy } from './mutation.ts';

const _COLUMNS = 'cloud-controller/apps/columns.ts';
const COUNTED = 'kit/counted-client.ts';
const ARCHIVE = 'cloud-controller/packages/archive.ts';
const BITS = 'cloud-controller/buildpacks/bits.ts';
const NAMES = 'cloud-controller/domains/names.ts';
const SERVER = 'cloud-controller/server.ts';
const YAML = 'kit/yaml.ts';
const MULTIPART = 'cloud-controller/packages/multipart.ts';
const UPLOAD = 'cloud-controller/packages/upload.ts';
const TREE = 'cloud-controller/packages/path-tree.ts';
const ZIP = 'cloud-controller/packages/zip-directory.ts';
const SHARES = 'kit/database-shares.ts';
const ASSEMBLE = 'cloud-controller/packages/assemble.ts';
const KEEP = 'cloud-controller/storage/keep.ts';
const READER = 'cloud-controller/packages/zip-reader.ts';
const ROOM = 'kit/shares.ts';

/** Of what comes to it and goes from it: bodies, archives, manifests, blobs. */
export const cloudControllerInput = [
  ...noticedBy('test/unit/cloud-controller/packages.test.ts', [
    ['SECURITY 24: paths that climb', ARCHIVE, "if (parts.includes('..')) throw", 'if (false) throw'],
    ['SECURITY 24: paths that climb', ARCHIVE, "path.startsWith('/') || /^", '/^'],
    ['SECURITY 24: paths that climb', ARCHIVE, "name.replaceAll('\\\\', '/')", 'name'],
    ['SECURITY 24: links out', ARCHIVE, 'if (!staysInside(entry.path, target))', 'if (false)'],
    ['SECURITY 24: links out', ARCHIVE, " && !parts.slice(leading).includes('..')", ''],
    ['SECURITY 24: links out', TREE, "=== 'symlink') return 'below'", "=== 'symlink') {}"],
    [
      'SECURITY 24: devices',
      ARCHIVE,
      'if (kind !== 0 && kind !== REGULAR &&',
      'if (false && kind !== 0 && kind !== REGULAR &&',
    ],
    [
      'SECURITY 24: a path that comes twice',
      TREE,
      "if (!isNew && !(as === 'directory'",
      "if (false && !(as === 'directory'",
    ],
    ['SECURITY 24: bombs', ARCHIVE, 'if (unpacked > limits.unpackedBytes)', 'if (false)'],
    ['SECURITY 24: bombs', ARCHIVE, 'unpacked > packedBytes * limits.ratio', 'false'],
    ['SECURITY 24: entries that share', ARCHIVE, 'if (offsets.size !== entries.length)', 'if (false)'],
    ['SECURITY 24: an entry that is larger', READER, 'validateEntrySizes: true', 'validateEntrySizes: false'],
    ['SECURITY 25: more resources', ASSEMBLE, 'if (list.length > MOST_RESOURCES)', 'if (false)'],
    ['SECURITY 25: more resources', ARCHIVE, 'if (parts.length > MOST_PARTS)', 'if (false)'],
    ['SECURITY 25: a matched file that goes away', ASSEMBLE, 'readLater(new PassThrough())', 'new PassThrough()'],
  ]),
  ...noticedBy('test/unit/cloud-controller/packages-archive-costs.test.ts', [
    ['SECURITY 24: comments and extra', ZIP, 'if (bytes > limits.directoryBytes ||', 'if (false ||'],
    [
      'SECURITY 24: comments and extra',
      ZIP,
      'entries.push(kept(entry, limits))',
      'entries.push(Object.assign(entry, kept(entry, limits)))',
    ],
    ['SECURITY 24: a name of a zip', ZIP, '?.data.length ?? 0) > nameBytes', '?.data.length ?? 0) < 0'],
    ['SECURITY 24: a name of a zip', ZIP, 'if (isUtf8) checkUtf8(raw);', ''],
    ['SECURITY 24: a path has one', TREE, "if (number >= MOST_PLACES) return 'full';", ''],
    ['SECURITY 24: a path has one', TREE, "if (!isNew && !(as === 'directory'", "if (false && !(as === 'directory'"],
    ['room that is taken by others', ROOM, 'if (this.#held + amount > this.#total) return;', ''],
    ['SECURITY 25: who asks for room', ROOM, 'held === 0 || held + first.amount <= this.#mostPerOwner', 'held >= 0'],
    ['SECURITY 25: who asks for room', ROOM, '      this.#queues.delete(owner);\n', ''],
    ['SECURITY 25: of an archive that is open', ARCHIVE, 'share.shrink(', 'void ('],
    ['SECURITY 25: what an archive is not', ARCHIVE, '.filter(keeps)', ''],
    ['SECURITY 25: a small archive waits', ARCHIVE, 'bytes <= SMALL_BYTES ? small : large', 'large'],
  ]),
  ...noticedBy('test/unit/cloud-controller/packages-merge-ends.test.ts', [
    ['SECURITY 25: a package that ends in the middle of a matched', ASSEMBLE, '() => streams.end()', '() => {}'],
    ['SECURITY 25: a package that ends in the middle of an uploaded', ARCHIVE, '    zip.close();\n', ''],
    ['SECURITY 25: an archive that is closed', ARCHIVE, '    streams.end();\n', ''],
  ]),
  ...noticedBy('test/unit/cloud-controller/manifests-bounds.test.ts', [
    [
      'a manifest brings nothing',
      'cloud-controller/manifests/manifest.ts',
      'this.problems.push(...bodyProblems(app))',
      'bodyProblems(app)',
    ],
    [
      'a manifest has at most',
      'cloud-controller/manifests/manifest.ts',
      'if (applications.length > MOST_APPS)',
      'if (false)',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/large-lists.test.ts', [
    ['SECURITY 25: a list that would be larger', COUNTED, 'for (const row of rows) this.#count(row);', ''],
    [
      'SECURITY 25: the metadata of one resource',
      'cloud-controller/metadata.ts',
      'characters > MAX_CHARACTERS && characters > charactersOf(before)',
      'false',
    ],
    [
      'SECURITY 25: the metadata of one resource',
      'cloud-controller/metadata.ts',
      ' && characters > charactersOf(before)',
      '',
    ],
  ]),
  ...noticedBy('test/unit/house/counted-reads.test.ts', [
    [
      'SECURITY 25: connections to a database',
      'uaa/users/store.ts',
      "import pg from 'pg';",
      "import pg from 'pg';\nexport const another = () => new pg.Pool();",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/database-shares.test.ts', [
    ['SECURITY 25: counts by whatever way', COUNTED, 'count ? { types: countingParsers(count) } : {}', '{}'],
    ['SECURITY 25: counts by whatever way', COUNTED, 'for (const row of rows) this.#count(row);', ''],
    ['SECURITY 25: ends when its client is gone', 'kit/answer-account.ts', 'if (!goesOn) add(', 'if (true) add('],
    ['SECURITY 25: ends when its client is gone', 'kit/answer-account.ts', 'if (!goesOn) add(', 'if (false) add('],
  ]),
  ...noticedBy('test/integration/cloud-controller/large-lists.test.ts', [
    [
      'SECURITY 25: apps with full',
      'cloud-controller/apps/store.ts',
      "'apps.revisions_enabled',",
      "'apps.revisions_enabled',\n  'apps.env_data',",
    ],
    [
      'SECURITY 25: what no list shows',
      'cloud-controller/processes/shown.ts',
      "'processes.version',",
      "'processes.version',\n  'processes.command',",
    ],
    [
      'SECURITY 25: what no list shows',
      'cloud-controller/tasks/store.ts',
      "'tasks.name',",
      "'tasks.name',\n  'tasks.command_data',",
    ],
    [
      'SECURITY 25: what no list shows',
      'cloud-controller/packages/store.ts',
      "'packages.error',",
      "'packages.error',\n  'packages.docker_data',",
    ],
    [
      'SECURITY 25: what no list shows',
      'cloud-controller/droplets/store.ts',
      "'droplets.error',",
      "'droplets.error',\n  'droplets.process_types',",
    ],
    [
      'SECURITY 25: what no list shows',
      'cloud-controller/revisions/store.ts',
      "'revisions.version',",
      "'revisions.version',\n  'revisions.env_data',",
    ],
    [
      'SECURITY 25: what a job works on',
      'cloud-controller/jobs/store.ts',
      "'errors', 'warnings'])",
      "'errors', 'warnings', 'input'])",
    ],
    ['SECURITY 25: the destinations', COUNTED, 'for (const row of rows) this.#count(row);', ''],
    ['SECURITY 25: instances count', 'cloud-controller/processes/instances.ts', 'countRead(instances);', ''],
  ]),
  ...noticedBy('test/unit/cloud-controller/packages-uploads.test.ts', [
    ['SECURITY 25: what is no file', MULTIPART, 'if (!part) text.add(chunk.length);', ''],
    ['the bytes of a file count', MULTIPART, 'if (!part) text.add(chunk.length);', 'text.add(chunk.length);'],
    ['SECURITY 25: fields past', MULTIPART, 'if (this.#added > TEXT_BYTES)', 'if (false)'],
    ['SECURITY 25: fields past', MULTIPART, 'this.#account?.add(bytes);', ''],
    [
      'a disk that is full while',
      MULTIPART,
      'writing.catch((error) => parser.destroy(error));',
      'writing.catch(() => {});',
    ],
    ['a blob that cannot be tidied', KEEP, 'if (againMs === undefined) return;', 'throw error;'],
    ['what could not be tidied up', KEEP, 'afterFailure(storage, what, blob, tidy, later)', 'later'],
    ['a download that cannot be', 'cloud-controller/storage/download.ts', '  await record();\n', ''],
  ]),
  ...['test/unit/cloud-controller/fuzz.test.ts', 'test/long/fuzz.test.ts'].flatMap((test) =>
    noticedBy(test, [
      [
        'SECURITY 24: ',
        ARCHIVE,
        "throw asRefusal(error, 'the archive is damaged or has names that are not allowed')",
        'throw error',
      ],
      [
        'SECURITY 25: ',
        YAML,
        'if (document.errors.length > 0) throw new YamlRefusedError(',
        'if (document.errors.length > 0) throw new Error(',
      ],
    ]),
  ),
  ...noticedBy('test/unit/cloud-controller/manifests.test.ts', [
    [
      'SECURITY 6: a route that asks',
      'cloud-controller/manifests/manifest.ts',
      '&& !this.#settings.http2Apps',
      '&& this.#settings.http2Apps',
    ],
    ['SECURITY 25: an alias bomb', YAML, 'if (aliases > YAML_LIMITS.aliases)', 'if (false)'],
    ['SECURITY 25: an alias bomb', YAML, 'maxAliasCount: 100', 'maxAliasCount: -1'],
    ['SECURITY 25: an alias bomb', YAML, 'if (size.nodes > YAML_LIMITS.nodes ||', 'if (false ||'],
    ['SECURITY 25: whatever a document', YAML, 'hasWrongEscape(lexeme))', 'false)'],
    ['SECURITY 25: a document of as many', YAML, 'uniqueKeys: false', 'uniqueKeys: true'],
    ['a name that comes twice', YAML, 'if (names.has(name))', 'if (false)'],
    ['a prototype in a manifest', YAML, "if (name === '__proto__')", 'if (false)'],
    ['SECURITY 25: depth, size', YAML, 'if (this.#count > YAML_LIMITS.lexemes)', 'if (false)'],
    ['SECURITY 25: depth, size', YAML, 'if (lineBreaks(text) > YAML_LIMITS.lines)', 'if (false)'],
    ['SECURITY 25: depth, size', YAML, 'if (Buffer.byteLength(text) > bytes)', 'if (false)'],
    ['SECURITY 25: depth, size', YAML, "if (second) throw new YamlRefusedError('only one document is allowed');", ''],
  ]),
  ...noticedBy('test/integration/cloud-controller/database-shares.test.ts', [
    ['SECURITY 30: are never all', SHARES, '(this.#held.get(owner) ?? 0) < this.#most &&', ''],
    ['SECURITY 30: are never all', SHARES, ' && !(long && this.#long >= this.#most)', ''],
    ['come back where', SHARES, '        this.#leave(work);\n        release', '        release'],
    [
      'SECURITY 30: many at once',
      SERVER,
      'forOwner(key, operation.long, () => settled(attempt, stream === null))',
      'settled(attempt, stream === null)',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/uploads.test.ts', [
    [
      'SECURITY 25: of a package, refused',
      'kit/request-end.ts',
      'setTimeout(() => request.destroy(), UNREAD_MS)',
      'undefined',
    ],
    ['SECURITY 25: of a blob of a cell', 'blobstore/blobstore.ts', "['blob_refused', 507],", ''],
    ['SECURITY 25: of a package or a droplet, cut', 'kit/body.ts', 'return readLater(body);', 'return body;'],
    ['SECURITY 24: a small entry', ARCHIVE, 'if (error) reject(damaged(error));', 'if (error) reject(error);'],
    [
      'SECURITY 30: what uploads announce',
      'cloud-controller/packages/upload.ts',
      'return 2 * (contentLength ?? 0);',
      'return contentLength ?? 0;',
    ],
    ['SECURITY 30: what one developer announces', 'blobstore/disk-room.ts', 'OWNER_SHARE = 0.25', 'OWNER_SHARE = 1'],
    ['an upload whose last step fails', UPLOAD, 'hasRoom && !mayTryAgain(error) ?', 'hasRoom ?'],
    ['an upload whose last step fails', UPLOAD, 'await deleteBlob(context, target.kind, target.key);', ''],
    [
      'SECURITY 25: the texts of forms',
      SERVER,
      'texts: stream && texts.entry(response, callerKey(caller, request.raw)),',
      'texts: null,',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/routes.test.ts', [
    [
      'nobody claims a system host, somebody else’s host or a name that shadows another domain (SECURITY 10)',
      NAMES,
      'if (systemHosts(settings).some((reserved) => isWithin(name, reserved))) {',
      'if (false) {',
    ],
    [
      'routes never exceed a quota, however many are asked for at once (SECURITY 30)',
      'cloud-controller/routes/create.ts',
      'await lockQuotas(trx, space.organization_guid);',
      '',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/environment-variable-groups.test.ts', [
    [
      'what an environment variable group holds is unreadable in the database, the log and the events (CC-02, SECURITY 28)',
      'cloud-controller/environment-variable-groups/store.ts',
      'sealer.seal(JSON.stringify(variables), context(name));',
      "{ keyLabel: 'none', data: Buffer.from(JSON.stringify(variables)) };",
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/door.test.ts', [
    [
      'malformed and oversized requests are refused in the API’s own words (SECURITY 25)',
      SERVER,
      'callerKey(caller, request.raw), operation.bodyLimitBytes)',
      'callerKey(caller, request.raw), 1024 ** 3)',
    ],
    [
      'malformed and oversized requests are refused in the API’s own words (SECURITY 25)',
      'kit/json.ts',
      'cause instanceof JsonRefusedError ? cause : new JsonRefusedError(',
      'cause instanceof JsonRefusedError ? cause : new TypeError(',
    ],
  ]),
  ...noticedBy('test/integration/cloud-controller/buildpacks.test.ts', [
    [
      'SECURITY 24: a hostile zip',
      BITS,
      'const named = await stackInManifest(file, call.actor.guid);',
      'const named = null;',
    ],
    [
      'SECURITY 24: a hostile zip',
      BITS,
      'const named = await stackInManifest(file, call.actor.guid);',
      'await keep(call, found, file, room);\n  const named = await stackInManifest(file, call.actor.guid);',
    ],
    ['SECURITY 24: a hostile zip', BITS, "throw invalidZip('manifest.yml is not valid YAML', cause);", 'return null;'],
    ['SECURITY 24: a hostile zip', BITS, 'if (entry.bytes > MANIFEST_MAX_BYTES)', 'if (false)'],
    ['SECURITY 24: a hostile zip', ARCHIVE, 'if (!staysInside(entry.path, target))', 'if (false)'],
    ['SECURITY 24: a hostile zip', ARCHIVE, '  ratio: 200,\n', '  ratio: 200_000,\n'],
  ]),
  ...noticedBy('test/integration/cloud-controller/storage.test.ts', [
    ['SECURITY 24: a zip', READER, 'validateEntrySizes: true', 'validateEntrySizes: false'],
    [
      'SECURITY 30: uploads',
      'cloud-controller/storage/ledger.ts',
      "await sql`SELECT pg_advisory_xact_lock(hashtext('storage'), hashtext(${organizationGuid}))`.execute(trx);",
      '',
    ],
  ]),
];
