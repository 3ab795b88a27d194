import { noticedBy } from './mutation.ts';

const ACCOUNT = 'kit/answer-account.ts';
const ANSWER = 'kit/answer.ts';
const JSON_ = 'kit/json.ts';
const RPC = 'kit/rpc.ts';
const SECRETS = 'kit/secrets.ts';
const WORDS = 'kit/engine-words.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
export const kit = [
  ...noticedBy('test/unit/kit/log-full-disk.test.ts', [
    ['SECURITY 38: a line that', 'kit/log.ts', "process.stdout.on('error', () => {});", ''],
  ]),
  ...noticedBy('test/unit/kit/rpc-peers.test.ts', [
    ['DGO-05: where a call was routed', RPC, '!mayCall(table, name, request.service.typeName)', 'false'],
    ['DGO-05: where a call was routed', RPC, "name !== 'local' &&", "name !== 'local' && name !== '' &&"],
    ['DGO-05: at the door', RPC, 'if (!mayCall(options.peers, name, service)) return', 'if (!service) return'],
  ]),
  ...noticedBy('test/unit/kit/body-account.test.ts', [
    [
      'SECURITY 25: whoever fills the account of texts',
      'kit/body-account.ts',
      ' && own.bytes + more > bytesAlways',
      '',
    ],
    ['SECURITY 25: whoever fills the account of uploads', 'kit/body-account.ts', ' && own.bodies >= bodiesAlways', ''],
    [
      'SECURITY 25: of many bodies that grow together',
      'kit/body-account.ts',
      'drop();\n          throw refusal',
      'throw refusal',
    ],
  ]),
  ...noticedBy('test/unit/kit/answers.test.ts', [
    ['SECURITY 25: what waits to be sent', ACCOUNT, 'if (own.bytes >= limits.bytesPerCaller)', 'if (false)'],
    ['SECURITY 25: what waits to be sent', ACCOUNT, 'if (own.bytes + bytes > limits.bytesPerCaller)', 'if (false)'],
    ['SECURITY 25: what waits to be sent', ACCOUNT, '&& own.bytes + bytes > limits.bytesAlways', ''],
    ['SECURITY 25: one answer is bounded', ACCOUNT, 'if (held[part] + bytes > most)', 'if (false)'],
    ['SECURITY 25: one answer is bounded', ACCOUNT, "written: () => count('read', -held.read)", 'written: () => {}'],
    ['SECURITY 25: a client that reads nothing', ANSWER, 'entry.write(bytes.length);', ''],
    ['SECURITY 25: a client that reads nothing', ANSWER, 'await setImmediate();', ''],
    ['SECURITY 25: an answer that its client', ANSWER, 'now.taken - before.taken < pace.bytes', 'false'],
    ['SECURITY 25: an answer that its client', ANSWER, '&& now.taken - before.taken < pace.bytes', ''],
  ]),
  ...noticedBy('test/unit/contracts/envelope-wire.test.ts', [
    [
      'SECURITY 25: heads are remembered',
      'contracts/envelope-wire.ts',
      'if (key.length > MOST_HEAD_BYTES) return head;',
      '',
    ],
    [
      'SECURITY 25: heads are remembered',
      'contracts/envelope-wire.ts',
      'if (this.#heads.size >= MOST_HEADS) this.#heads.clear();',
      '',
    ],
  ]),
  ...noticedBy('test/unit/loggregator/log-cache.test.ts', [
    [
      'SECURITY 25: a read ends at a bound',
      'loggregator/source-log.ts',
      'if (bytes > range.maxBytes && found.length > 0) break;',
      '',
    ],
    ['LOG-01, SECURITY 32: an organization', 'loggregator/log-cache.ts', 'if (source.owner !== most) continue;', ''],
    ['SECURITY 25: a read ends at a bound', 'loggregator/source-log.ts', '&& found.length > 0) break', ') break'],
    [
      'SECURITY 25: a source that writes long',
      'loggregator/pieces.ts',
      'if (length > PIECE_BYTES) return Buffer.allocUnsafeSlow(length);',
      'if (length > PIECE_BYTES) return Buffer.allocUnsafeSlow(Math.max(2 * former, length));',
    ],
    [
      'SECURITY 25: what sources that come and go',
      'loggregator/pieces.ts',
      'if (piece.bytes.length === PIECE_BYTES) spare.push(piece.bytes);',
      '',
    ],
    [
      'SECURITY 25: what sources that come and go',
      'loggregator/pieces.ts',
      'if (piece === this.#current) this.#current = NONE;',
      'if (piece === this.#current) return;',
    ],
  ]),
  ...noticedBy('test/unit/house/engine-words.test.ts', [
    [
      'SECURITY 28: the words of an engine',
      'cell/network/nft.ts',
      "['-f', '-'], { input: text }",
      "['-f', '-'], { input: text, showWords: true }",
    ],
    [
      'SECURITY 28: whoever starts a program',
      'cell/network/nft.ts',
      "import { run } from '../../kit/process.ts';",
      "import { run } from '../../kit/process.ts';\nimport { spawn } from 'node:child_process';",
    ],
  ]),
  ...noticedBy('test/unit/kit/json.test.ts', [
    ['SECURITY 25: a text of more values', JSON_, ' || names > MAX_NAMES', ''],
    ['SECURITY 25: what is no JSON', JSON_, "if (name === '__proto__')", 'if (false)'],
    ['SECURITY 25: what is no JSON', JSON_, "text.includes('\\\\u') || ", ''],
    ['SECURITY 25: what is no JSON', JSON_, 'if (depth > maxDepth)', 'if (false)'],
    ['SECURITY 25: a text of more values', JSON_, 'commas > MAX_VALUES ||', 'false ||'],
  ]),
  ...noticedBy('test/unit/kit/secrets.test.ts', [
    [
      'SECURITY 28: every name of a secret',
      'kit/secrets.ts',
      'return SECRET.test(name.replaceAll(/[_-]/g, ',
      'return SECRET.test(name.replaceAll(/[-]/g, ',
    ],
    [
      'SECURITY 28: an address stands',
      'kit/log.ts',
      'message: withShownAddresses(message),\n      ...request',
      'message,\n      ...request',
    ],
    ["SECURITY 28: an engine's words", 'kit/process.ts', 'options.showWords ?', 'options ?'],
    ["SECURITY 28: an engine's words", 'cell/garden/archives.ts', 'classOf(errors)', 'errors'],
    ['SECURITY 28: every name of a secret', SECRETS, "name.replaceAll(/[_-]/g, '')", 'name'],
    ['SECURITY 28: every name of a secret', SECRETS, '|routeserviceurl', ''],
    [
      'SECURITY 28: an address stands',
      SECRETS,
      "authority.slice(authority.lastIndexOf('@') + 1)",
      "authority.slice(authority.lastIndexOf(':') < 0 ? authority.lastIndexOf('@') + 1 : 0)",
    ],
    ['SECURITY 28: an address stands', SECRETS, 'if (URL.parse(address) === null) return `${scheme}…`;', ''],
    [
      'SECURITY 28: an address stands',
      'cloud-controller/audit-events/redact.ts',
      'return withShownAddresses(value)',
      'return value',
    ],
    ["SECURITY 28: an engine's words", WORDS, "'of a kind that has no name here'", 'words'],
  ]),
  ...noticedBy('test/unit/kit/handshakes.test.ts', [
    ['SECURITY 25: connections without', 'kit/handshakes.ts', '    oldest[1].destroy();\n', ''],
    ['SECURITY 25: connections without', 'kit/http.ts', '  boundHandshakes(server, options.log);\n', ''],
    ['SECURITY 25: connections without', RPC, '  boundHandshakes(server, options.log);\n', ''],
  ]),
  ...noticedBy('test/unit/kit/body-pace.test.ts', [
    ['SECURITY 25: a body that comes in drops', 'kit/body.ts', ' || this.#size < least', ''],
    ['a client is not too slow', 'kit/body.ts', '      if (!this.#heldBack) {', '      if (this) {'],
  ]),
  ...noticedBy('test/unit/kit/body-memory.test.ts', [
    [
      'SECURITY 25: what is refused of bodies',
      'kit/body.ts',
      'chunks.length = 0;',
      "request.on('error', () => chunks);",
    ],
    ['a body that was read lies', 'kit/body.ts', 'chunks.length = 0;', "request.on('error', () => chunks);"],
  ]),
  ...noticedBy('test/unit/kit/owned-files.test.ts', [
    [
      'what another account left',
      'kit/owned-files.ts',
      'if (content.length > mostBytes)',
      'if (fstatSync(file).size > mostBytes)',
    ],
    [
      'SECURITY: another name is given',
      'kit/owned-files.ts',
      'isOwn(stat) && (stat.mode & (WRITE_BY_GROUP',
      'isOwn(stat) || (stat.mode & (WRITE_BY_GROUP',
    ],
  ]),
  ...noticedBy('test/unit/house/streams.test.ts', [
    [
      'a FileHandle is closed',
      'blobstore/disk.ts',
      'await using directory = await open(path',
      'const directory = await open(path',
    ],
  ]),
  ...noticedBy('test/unit/kit/streams.test.ts', [
    ['SECURITY 25: what a stranger', 'kit/streams.ts', 'bytes > mostBytes', 'false'],
    ['SECURITY 25: what a stranger', 'kit/streams.ts', '() => stream.destroy(tooSlow)', '() => {}'],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
