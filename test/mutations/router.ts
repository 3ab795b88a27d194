import { noticedBy } from './mutation.ts';

const STRICT = 'router/strictness.ts';
const CONFIG = 'router/config.ts';
const HEADERS = 'router/client-headers.ts';
const SHARES = 'router/shares.ts';
/** What HAProxy would let through then, it shows to no rule. */
const LAX = [
  'unique-id-format %[uuid()]',
  'option accept-unsafe-violations-in-http-request\n  unique-id-format %[uuid()]',
] as const;
const SECOND_HALF = 'router/one-request.ts';

/** A session is bound to whatever its client says. */
const UNCHECKED = [
  'set-var(txn.srv) var(txn.key),map_str(${instancesMapOf(settings)}) if { var(txn.bound) -m found }',
  'set-var(txn.srv) var(txn.bound) if { var(txn.bound) -m found }',
] as const;

/** Where bodies were waited for, nobody would be answered early. */
const WAITS = ['  http-reuse always\n', '  http-reuse always\n  http-request wait-for-body time 15s\n'] as const;

export const router = [
  ...noticedBy('test/e2e/shared/early-answers.test.ts', [['SECURITY 1: nobody beside them notices', CONFIG, ...WAITS]]),
  ...noticedBy('test/integration/router/early-answers.test.ts', [
    ['SECURITY-TESTS 1: an app answers early, a short body', CONFIG, ...WAITS],
    ['SECURITY-TESTS 1: two streams', CONFIG, "    'pool-purge-delay 5s',", "    'init-state down',"],
    ['SECURITY-TESTS 1: a GET with a length', CONFIG, "    'pool-purge-delay 5s',", "    'init-state down',"],
  ]),
  ...noticedBy('test/unit/router/slots-left.test.ts', [
    [
      'SECURITY-TESTS 7: a slot that was left',
      'router/slots-left.ts',
      'if (pool === null) this.#slots.add(slot)',
      'if (pool === undefined) this.#slots.add(slot)',
    ],
    [
      'SECURITY-TESTS 7: nor is one',
      'router/slots-left.ts',
      'for (const { slot } of pools) this.#slots.add(slot);',
      'for (const { slot } of pools) this.#slots.delete(slot);',
    ],
  ]),
  ...noticedBy('test/unit/router/direct.test.ts', [
    ['SECURITY-TESTS 7: no instance can take', 'router/settings.ts', "'_again'", "'again'"],
  ]),
  ...noticedBy('test/unit/router/haproxy-driver.test.ts', [
    [
      'SECURITY-TESTS 7: a slot that has',
      'router/haproxy-driver.ts',
      '    if (!before) await this.#clear(table, running, last);\n',
      '',
    ],
  ]),
  ...noticedBy('test/unit/router/desired-state.test.ts', [
    [
      'SECURITY-TESTS 10: ',
      'router/process-routes.ts',
      'reserved.has(route.host.toLowerCase())',
      'reserved.has(route.host)',
    ],
    [
      'SECURITY-TESTS 10: ',
      'router/process-routes.ts',
      'reserved.has(route.host.toLowerCase())',
      'reserved.has(`${route.host}${route.path}`.toLowerCase())',
    ],
  ]),
  ...noticedBy('test/integration/router/http2-apps.test.ts', [
    [
      'SECURITY 6: no app is spoken to',
      'router/process-routes.ts',
      'if (asked && !http2Apps)',
      'if (asked && http2Apps)',
    ],
    ['SECURITY 6: neither is one', CONFIG, 'server.http2 && settings.http2Apps', 'server.http2'],
    ['SECURITY 6: switched on', CONFIG, 'server.http2 && settings.http2Apps', 'server.http2 && !settings.http2Apps'],
  ]),
  ...noticedBy('test/integration/router/control-load.test.ts', [
    ['SECURITY-TESTS 5: a thousand', SECOND_HALF, '  http-request wait-for-body time 15s if system_host\n', ''],
    ['a handshake that control', CONFIG, '  timeout connect 10s\n', '  timeout connect 2s\n'],
    ['control has a bounded number', CONFIG, ' maxconn ${CONTROL_REQUESTS}', ''],
  ]),
  ...noticedBy('test/integration/router/spoken-words.test.ts', [
    [
      'SECURITY-TESTS 1: an address of another',
      CONFIG,
      'unless { url_beg / }',
      'unless { url_beg / } || { url -m found }',
    ],
    ['SECURITY-TESTS 1: nothing below', CONFIG, 'if { req.ver -m beg 0. }', 'if { req.ver -m beg 7. }'],
  ]),
  ...noticedBy('test/integration/router/smuggling.test.ts', [
    ...[
      'TE.TE: a blank before',
      'a comma in a name',
      'another protocol',
      'a version of three digits',
      'a fragment',
      'a NUL in a value',
      'UTF-8 in a target',
      'another host behind a user',
      'an absolute form of another port',
      'a websocket without a key',
    ].map((title) => [`SECURITY-TESTS 1: ${title}`, CONFIG, ...LAX] as const),
    ['SECURITY-TESTS 1: TE in HTTP/1.0', CONFIG, 'if { req.ver 1.0 }', 'if { req.ver 9.9 }'],
    ['SECURITY-TESTS 1: the same length', HEADERS, "'content_length'", "'content[-_]length'"],
  ]),
  ...noticedBy('test/integration/router/http2-downgrade.test.ts', [
    ['UTF-8 in a path and a query', STRICT, "if { url -m reg '[^", "if { method NONE } { url -m reg '[^"],
    ['SECURITY-TESTS 1: HTTP/2, CONNECT', CONFIG, 'if { method CONNECT TRACE }', 'if { method TRACE }'],
    ['SECURITY-TESTS 5: header floods', CONFIG, 'const MAX_HEADERS = 200;', 'const MAX_HEADERS = 900;'],
    ['SECURITY-TESTS 1: the same length', HEADERS, "'content_length'", "'content[-_]length'"],
  ]),
  ...noticedBy('test/integration/router/spoofing.test.ts', [
    [
      'SECURITY-TESTS 2: Connection',
      CONFIG,
      'http-request del-header Connection\n',
      'http-request set-var(txn.kept) bool(true)\n',
    ],
    ['SECURITY-TESTS 2: headers of one hop', HEADERS, "  'keep-alive',\n", ''],
    ['SECURITY-TESTS 2: headers of one hop', HEADERS, "  'proxy-connection',\n", ''],
    ['SECURITY-TESTS 2: headers of one hop', HEADERS, "  'proxy', //", '  //'],
    ['SECURITY-TESTS 4: ', SECOND_HALF, 'acl system_host var(txn.host) -m str', 'acl system_host ssl_fc_sni -m str'],
    ['SECURITY-TESTS 5: ', CONFIG, 'const MAX_HEADERS = 200;', 'const MAX_HEADERS = 900;'],
    ['SECURITY-TESTS 3: ', HEADERS, "replaceAll('-', '[-_]')", "replaceAll('-', '-')"],
  ]),
  ...noticedBy('test/integration/router/hostile-http.test.ts', [
    ['SECURITY-TESTS 1: ', CONFIG, ...LAX],
    ['SECURITY-TESTS 5: headers that fit', CONFIG, 'const BUFFER_BYTES = 65_536;', 'const BUFFER_BYTES = 655_360;'],
    [
      'SECURITY-TESTS 2: ',
      CONFIG,
      'http-request del-header Connection\n',
      'http-request set-var(txn.kept) bool(true)\n',
    ],
    ['SECURITY-TESTS 3: ', HEADERS, ".replace('*', '.*')", ".replace('*', '')"],
    [
      'SECURITY-TESTS 5: oversized',
      CONFIG,
      '{ req.hdrs,length gt ${MAX_HEADER_BYTES} }',
      '{ req.hdrs,length gt 900000 }',
    ],
    ['SECURITY-TESTS 6: ', CONFIG, "    'pool-purge-delay 5s',", "    'init-state down',"],
    [
      'SECURITY-TESTS 10: an app that',
      'router/process-routes.ts',
      'reserved.has(route.host.toLowerCase())',
      'reserved.has(`${route.host}/`)',
    ],
    [
      'SECURITY-TESTS 10: a wildcard',
      SECOND_HALF,
      'map_beg(${routesMapOf(settings)}) if !system_host !{ var(txn.be) -m found }',
      'map_beg(${routesMapOf(settings)}) if !{ var(txn.be) -m found }',
    ],
    ['SECURITY-TESTS 11: ', SECOND_HALF, 'set-header Connection "upgrade, close"', 'set-header Connection "upgrade"'],
  ]),
  ...noticedBy('test/integration/router/dying-apps.test.ts', [
    [
      'RTR-03: GET with no body: the app closes',
      'router/repeats.ts',
      'retry-on conn-failure empty-response ',
      'retry-on conn-failure ',
    ],
    [
      'RTR-03: POST with a small body: the app closes',
      'router/direct.ts',
      '`  http-request return status 502 content-type',
      '`  http-request return status 503 content-type',
    ],
    [
      'RTR-03: POST with a small body: the app resets',
      'router/repeats.ts',
      'disable-l7-retry if { var(txn.second) -m found }',
      'disable-l7-retry if { var(txn.second) -m found } || { fc_http_major 2 } !{ method GET HEAD OPTIONS }',
    ],
    [
      'RTR-03: POST with a body that is not whole yet: the app closes',
      'router/direct.ts',
      'req.body_len if {',
      'req.body_len if { fc_http_major 1 } {',
    ],
    [
      'RTR-03: POST with a body that is not whole yet, whose length is not told: the app closes',
      'router/direct.ts',
      ' || { fc_http_major 2 } !{ req.fhdr(content-length) -m found } !{ method GET HEAD OPTIONS }',
      '',
    ],
  ]),
  ...noticedBy('test/integration/router/access-log.test.ts', [
    ...['another app\u2019s instance', 'the router\u2019s own way', 'an instance that is gone'].map(
      (bound) => [`SECURITY-TESTS 7: a session bound to ${bound}`, SECOND_HALF, ...UNCHECKED] as const,
    ),
  ]),
  ...noticedBy('test/integration/router/slow-clients.test.ts', [
    [
      'SECURITY-TESTS 5: headers, bodies and readers',
      CONFIG,
      'maxconn ${2 * settings.maxConnections}${pipes}',
      'maxconn 200${pipes}',
    ],
    ['SECURITY-TESTS 5: one address', SHARES, 'gt ${most(SHARES.client)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 5: headers that are not whole', CONFIG, 'timeout http-request 15s', 'timeout http-request 40s'],
    ['SECURITY-TESTS 6: ', CONFIG, "    'pool-purge-delay 5s',", "    'init-state down',"],
    ['SECURITY-TESTS 11: ', SECOND_HALF, 'set-header Connection "upgrade, close"', 'set-header Connection "upgrade"'],
  ]),
  ...noticedBy('test/integration/router/identity.test.ts', [
    [
      'SECURITY-TESTS 7: ',
      CONFIG,
      '`verifyhost ${server.instanceGuid}`,\n    `sni str(${server.instanceGuid})`,',
      "'sni str(inst-mine)',",
    ],
  ]),
  ...noticedBy('test/integration/router/bus.test.ts', [
    ['SECURITY-TESTS 34: ', 'router/router.ts', 'options.intervalMs ?? 30_000', '3_600_000'],
  ]),
  ...noticedBy('test/integration/router/routes.test.ts', [
    [
      'SECURITY-TESTS 34: ',
      'router/router.ts',
      'unanswered(error);\n      return null;',
      "unanswered(error);\n      return { entries: [], last: '' };",
    ],
  ]),
  ...noticedBy('test/integration/router/headers.test.ts', [
    ['SECURITY-TESTS 2, 3: ', HEADERS, "replaceAll('-', '[-_]')", "replaceAll('-', '-')"],
    [
      'SECURITY-TESTS 5: how large',
      CONFIG,
      '{ req.hdrs,length gt ${MAX_HEADER_BYTES} }',
      '{ req.hdrs,length gt 900000 }',
    ],
  ]),
  ...noticedBy('test/integration/router/connection-shares.test.ts', [
    ['SECURITY-TESTS 32: an IPv6 /64', SHARES, 'ipmask(32,64)', 'ipmask(32,128)'],
    ['SECURITY-TESTS 32: five addresses', SHARES, 'gt ${most(SHARES.unspoken)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 32: three addresses', SHARES, 'gt ${most(SHARES.client)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 32: a container cannot', SHARES, 'gt ${most(SHARES.container)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 32: all containers', SHARES, 'gt ${most(SHARES.containers)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 32: an IPv4 address', SHARES, 'gt ${most(SHARES.client)} }', 'gt 100000 }'],
    ['SECURITY-TESTS 32: requests under way', SHARES, 'most: mostOf(settings.maxConnections),', 'most: () => 100_000,'],
  ]),
];
