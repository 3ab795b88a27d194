import { noticedBy } from './mutation.ts';

const HAPROXY = 'kit/haproxy.ts';
const SCALAR = 'cell/staging/lifecycle/scalar.sh';

/** Of what root and control say to the engines, of what those carry, and of what staging leaves. */
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
export const engines = [
  ...noticedBy('test/unit/kit/haproxy-socket.test.ts', [
    [
      'SECURITY: a socket to which',
      HAPROXY,
      'await withOwnSocket(this.#path, async (path) => {',
      'await (async (path: string, body: (path: string) => Promise<string>) => body(path))(this.#path, async (path) => {',
    ],
    [
      'SECURITY 25: an answer of HAProxy',
      HAPROXY,
      'this.#bounds)).trim()',
      '{ mostBytes: 9e9, timeoutMs: 5_000 })).trim()',
    ],
  ]),
  ...noticedBy('test/integration/platform/engine-namespace.test.ts', [
    ['SECURITY 39: libraries are', 'kit/engines.ts', 'mount --bind /dev/null /etc/ld.so.cache', 'true'],
  ]),
  ...noticedBy('test/integration/platform/signed-packages.test.ts', [
    [
      'SECURITY 39: what is fetched lies',
      'kit/debian/apt.ts',
      "await run('chown', [SANDBOX_USER, ...partial]);",
      "await run('chown', ['-R', SANDBOX_USER, join(home, 'lists')]);",
    ],
    ['SECURITY 39: an index that nobody', 'kit/debian/apt.ts', 'Dir::Etc::parts "${home}/empty";\n', ''],
    ['SECURITY 39: a stack is signed', 'kit/debian/mirrors.ts', '`[signed-by=${keyring}]`', "''"],
    [
      'BSH-07: newer packages',
      'platform/engines/image/image.ts',
      'has !== version && (await isOlder(version, has))',
      'false',
    ],
  ]),
  ...noticedBy('test/unit/platform/admin-socket.test.ts', [
    [
      'SECURITY 25: what a process answers',
      'platform/admin-socket.ts',
      'boundedText(response, { mostBytes: ANSWER_BYTES, timeoutMs })',
      'boundedText(response, { mostBytes: 9e9, timeoutMs: 1_000 })',
    ],
    ['SECURITY 25: of what a process', 'platform/admin-socket.ts', '.slice(0, 1_000)', ''],
  ]),
  ...noticedBy('test/unit/kit/command-output.test.ts', [
    ['SECURITY 25: a command', 'kit/process.ts', 'if (bytes > mostBytes)', 'if (bytes < 0)'],
  ]),
  ...noticedBy('test/unit/platform/health.test.ts', [
    [
      'SECURITY 25: an answer without',
      'platform/health.ts',
      'call.destroy(); // how much',
      'response.resume(); // how much',
    ],
    [
      'the API is asked at the socket',
      'platform/health.ts',
      'await withOwnSocket(this.#socket, (socketPath) => this.#asks({ socketPath }))',
      "await this.#asks({ host: '127.0.0.1', port: settings.httpsPort })",
    ],
  ]),
  ...noticedBy('test/integration/router/control-load.test.ts', [
    [
      'SECURITY-TESTS 32: what clients',
      'router/config.ts',
      '  http-request set-header X-Forwarded-For supervisor unless { src -m found }\n',
      '',
    ],
    ['SECURITY-TESTS 32: what clients', 'router/one-request.ts', "var(txn.hop),field(3,' ')", 'str(127.0.0.1)'],
  ]),
  ...noticedBy('test/integration/router/early-answers.test.ts', [
    [
      'SECURITY-TESTS 1: the API sees nothing of a short body',
      'router/one-request.ts',
      '  http-request wait-for-body time 15s if system_host\n',
      '',
    ],
    [
      'SECURITY-TESTS 1: the API answers early, ',
      'router/one-request.ts',
      '  http-request wait-for-body time 15s if system_host\n',
      '  http-request deny deny_status 413 if system_host { req.body_size gt 70000 }\n',
    ],
  ]),
  ...noticedBy('test/unit/router/idle-times.test.ts', [
    ['nothing on the way', HAPROXY, 'Math.max(answer, tunnel) + 60', 'answer'],
    ['nothing on the way', 'router/first-bytes.ts', '  timeout tunnel ${transit}s\n', ''],
    ['nothing on the way', 'cell/proxy/config.ts', '  timeout tunnel ${transit}s\n', ''],
  ]),
  ...noticedBy('test/integration/router/silences.test.ts', [
    ['an app that says nothing', HAPROXY, 'Math.max(answer, tunnel) + 60', 'answer'],
    ['a websocket may', HAPROXY, 'Math.max(answer, tunnel) + 60', 'answer'],
  ]),
  ...noticedBy('test/unit/platform/ports.test.ts', [
    [
      'what an installation writes down',
      'platform/free-ports.ts',
      'randomInt(begin, end)',
      'randomInt(33_000, 60_000)',
    ],
    ['what an installation writes down', 'platform/free-ports.ts', 'Math.min(given, last)', 'last'],
    ['a port for clients', 'platform/ports.ts', 'filter(({ forClients }) => forClients)', 'slice()'],
  ]),
  ...noticedBy('test/integration/platform/firewall.test.ts', [
    ['the doctor names rules', 'platform/doctor/firewall.ts', " && table !== 'firewalld'", ''],
    [
      'the doctor names rules',
      'platform/doctor/firewall.ts',
      "!['ip', 'inet'].includes(family)",
      'family.length === 0',
    ],
  ]),
  ...noticedBy('test/unit/cell/launcher.test.ts', [
    ['BPK-01: where a shell cannot tell', SCALAR, '    is_whole "${values[i]}" || return 2\n', ''],
    ['BPK-01: where a shell cannot tell', SCALAR, '  [ $? -eq 1 ] || return\n  for', '  for'],
    ['BPK-01: where a shell cannot tell', SCALAR, " -e '\\' --", ' --'],
  ]),
  ...noticedBy('test/integration/platform/takeovers.test.ts', [
    [
      'is made for roots',
      'platform/engines/haproxy.ts',
      'if ((await socket.authorities(file)).join() !== wanted.sort().join()) return false;',
      '',
    ],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
