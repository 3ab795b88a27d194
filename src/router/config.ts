import { IDLE } from '../kit/haproxy.ts';
import { CONTROL_REQUESTS, ENDPOINT_FAILED, ENDPOINT_SILENT, MAX_HEADER_BYTES } from './bounds.ts';
import { HOP_HEADER, notFromClients } from './client-headers.ts';
import { DIRECT_GLOBAL, directTables, ONE_ATTEMPT, repeatServer } from './direct.ts';
import { firstBytes } from './first-bytes.ts';
import { directRequest, oneRequest, systemHostAcl } from './one-request.ts';
import { CONTROL_ANSWERS, POOL_ANSWERS, repeatEntries } from './repeats.ts';
import { EMPTY_ROUTE_TABLE, instanceKeys, type RouteServer, type RouteTable } from './route-table.ts';
import {
  ACCESS_RING,
  backendName,
  DEFAULT_ROUTER_TLS,
  healthSocketOf,
  NO_ENDPOINTS,
  type RouterSettings,
  routerListeners,
  tlsSocketOf,
} from './settings.ts';
import { clientConnections, connectionShares, countSpoken, shareTables } from './shares.ts';
import { ONLY_UTF8 } from './strictness.ts';

/** Of HAProxy, for each direction; see `MAX_HEADER_BYTES`. */
const BUFFER_BYTES = 65_536;
/** An access-log line. */
const LOG_LINE_BYTES = 16_384;
/** More headers than this are refused with 431; HAProxy's own table is larger, so that it can answer. */
const MAX_HEADERS = 200;
/** Keywords that follow the address of an instance's server, in the file and at run time alike (RTR-04). */
export function serverKeywords(settings: RouterSettings, server: RouteServer, direct = true): string {
  return [
    'ssl',
    `crt ${settings.certificates.client}`,
    `ca-file ${settings.certificates.instanceCa}`,
    'verify required',
    // The certificate must carry the instance's GUID: an address that another instance got fails here (SECURITY-TESTS 7).
    `verifyhost ${server.instanceGuid}`,
    `sni str(${server.instanceGuid})`,
    // Without these two a server added at run time never reuses a connection.
    'pool-purge-delay 5s',
    'pool-max-conn -1',
    ...(server.http2 && settings.http2Apps ? ['proto h2'] : []),
    // The front names the one that is meant (`chooseFirst`).
    ...(direct ? ['weight 0'] : []),
  ].join(' ');
}

/**
 * HAProxy's configuration as router: HTTP mode, routes by map, a pool of backends whose servers come and go at run time.
 * `table` is what it starts with (see `readPersistedRoutes`), `inherited` the descriptors of its listeners. It needs no root
 * and, with inherited listeners, no capability; without them CAP_NET_BIND_SERVICE where a port is below 1024.
 */
export function renderRouterConfig(
  settings: RouterSettings,
  table: RouteTable = EMPTY_ROUTE_TABLE,
  inherited?: readonly number[],
): string {
  return [
    globalSection(settings),
    frontends(settings, inherited),
    oneRequest(settings),
    ...systemBackends(settings),
    pool(settings, table),
  ].join('\n');
}

/** The two maps HAProxy starts with, as text. */
export function renderRouterMaps(table: RouteTable): { routes: string; instances: string } {
  const text = (entries: Iterable<readonly [string, string]>) =>
    [...entries].map(([key, value]) => `${key} ${value}\n`).join('');
  return { routes: text(routeEntries(table)), instances: text(instanceEntries(table)) };
}

/** The entries of the map that leads from `host/path/` to a backend's name. */
export function* routeEntries(table: RouteTable): Generator<[string, string]> {
  for (const [key, slot] of table.routes) yield [key, slot === null ? NO_ENDPOINTS : backendName(slot)];
}

/** The entries of the map that leads from a backend and what a client named an instance by (`app guid:index`) to its server. */
export function* instanceEntries(table: RouteTable): Generator<[string, string]> {
  for (const { slot, servers } of table.pools) yield* poolEntries(slot, servers);
}

/** Those of one pool. Of two instances that a client names alike, as in a deployment, the first is meant. */
export function poolEntries(slot: number, servers: readonly RouteServer[]): Map<string, string> {
  const backend = backendName(slot);
  const named = servers.flatMap((server) =>
    instanceKeys(backend, server).map((key) => [key, server.instanceGuid] as const),
  );
  return new Map([...repeatEntries(backend, servers), ...named.reverse()]);
}

function globalSection(settings: RouterSettings): string {
  const tls = settings.tls ?? DEFAULT_ROUTER_TLS;
  const idle = settings.idle ?? IDLE;
  const group = settings.sockets.driverGroup ? ` group ${settings.sockets.driverGroup}` : '';
  // For splicing HAProxy would keep descriptors for one pipe in four connections; without a free pipe it copies.
  const pipes = settings.ssh ? `\n  maxpipes ${Math.floor(settings.maxConnections / 16)}` : '';
  return `global
  nbthread ${settings.threads}
  # As many of the router's own, one for each request under way, as of clients.
  maxconn ${2 * settings.maxConnections}${pipes}
  # The supervisor's socket can hand over listeners; control's cannot.
  stats socket ${settings.sockets.admin} mode 600 level admin expose-fd listeners
  stats socket ${settings.sockets.driver} mode 660${group} level admin
  stats timeout 60s
  log ring@${ACCESS_RING} len ${LOG_LINE_BYTES} format raw local0 notice
  hard-stop-after 15m
  tune.bufsize ${BUFFER_BYTES}
  tune.http.maxhdr 1024
${DIRECT_GLOBAL}  tune.ssl.cachesize 20000
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver ${tls.minimumVersion}
  ssl-default-bind-ciphers ${tls.ciphers.join(':')}
  ssl-default-bind-ciphersuites ${tls.cipherSuites.join(':')}
  ssl-default-server-options ssl-min-ver TLSv1.2
  ssl-default-server-ciphers ${DEFAULT_ROUTER_TLS.ciphers.join(':')}
  ssl-default-server-ciphersuites ${DEFAULT_ROUTER_TLS.cipherSuites.join(':')}

# Keeps the access log, of which control reads what it has not had yet. HAProxy 3.2 loses a line where it sends them by itself and who takes
# them goes away.
ring ${ACCESS_RING}
  format raw
  maxlen ${LOG_LINE_BYTES}
  size 8388608

defaults base
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server ${idle.answer}s
  timeout http-request 15s
  timeout http-keep-alive 60s
  timeout tunnel ${idle.tunnel}s
  timeout client-fin 30s
  timeout server-fin 30s
  timeout queue 5s
  option dontlognull
  option idle-close-on-response
`;
}

function frontends(settings: RouterSettings, inherited?: readonly number[]): string {
  const tls = `ssl crt ${settings.certificates.front} alpn h2,http/1.1`;
  const listening = routerListeners(settings).map((listener, index) => {
    const descriptor = inherited?.[index];
    return { ...listener, where: descriptor === undefined ? haproxyAddress(listener) : `fd@${descriptor}` };
  });
  const secure = listening.filter((listener) => listener.tls).map(({ where }) => where);
  const plain = listening.filter((listener) => !listener.tls).map(({ where }) => where);
  const binds = [
    ...(settings.ssh
      ? [`unix@${tlsSocketOf(settings)} mode 600 accept-proxy ${tls}`]
      : secure.map((at) => `${at} ${tls}`)),
    ...plain,
    `unix@${healthSocketOf(settings)} mode 600 ${tls}`,
  ];
  const authority = settings.httpsPort === 443 ? '' : `:${settings.httpsPort}`;
  const tables = `${shareTables(settings)}${directTables(settings)}`;
  return `${tables}${settings.ssh ? firstBytes(settings, settings.ssh, secure) : ''}frontend public from base
${binds.map((bind) => `  bind ${bind}\n`).join('')}  unique-id-format %[uuid()]

  # --- one address cannot take every connection, nor all clients together the router's own
  maxconn ${clientConnections(settings)}
${connectionShares(settings)}${countSpoken('session')}
  # --- what is refused before anything is looked up
${ONLY_UTF8}  http-request deny deny_status 431 content-type text/plain string "431 Request Header Fields Too Large\\n" if { req.hdrs,length gt ${MAX_HEADER_BYTES} } || { req.fhdr_cnt gt ${MAX_HEADERS} }
  http-request return status 414 content-type text/plain string "414 URI Too Long\\n" if { url_len gt ${MAX_HEADER_BYTES} }
  # Before HTTP/1.0 there were no headers at all, and before HTTP/1.1 no Transfer-Encoding: one server behind would believe it and the
  # next would not (RFC 9112, 6.1).
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request\\n" if { req.ver -m beg 0. }
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request\\n" if { req.ver 1.0 } { req.fhdr(transfer-encoding) -m found }
  http-request deny deny_status 405 content-type text/plain hdr Connection close string "405 Method Not Allowed\\n" if { method CONNECT TRACE }
  # A Host that is not one plain name could mean one app here and another one behind.
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request: invalid Host\\n" unless { req.hdr_cnt(host) eq 1 } { req.fhdr(host) -m reg -i ^[a-z0-9_.-]+(:[0-9]{1,5})?$ }
  # A path, the whole server, or an address of HTTP: an app makes of any other scheme what it will.
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request: invalid address\\n" unless { url_beg / } || { url -m str * } || { url_beg -i http:// https:// }
  # The absolute form names the host a second time, and perhaps a user.
  http-request set-uri %[pathq] if { url_beg -i http:// https:// } { fc_http_major 1 }

  # --- request identity and forwarding headers; none of them is believed from a client
  http-request set-var(txn.host) req.fhdr(host),field(1,:),lower
  http-request set-var(txn.xff) req.fhdr(x-forwarded-for),bytes(0,1024)
  http-request del-header ${notFromClients()} -m reg
  http-request set-header X-Vcap-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http unless { ssl_fc }
  http-request set-header X-Forwarded-For "%[var(txn.xff)], %[src]" if { var(txn.xff) -m found }
  http-request set-header X-Forwarded-For %[src] unless { var(txn.xff) -m found }
  # The supervisor, at its socket, is no client, and shares no client's count behind the router either.
  http-request set-header X-Forwarded-For supervisor unless { src -m found }
  http-request set-header X-Request-Start %[date(0,ms)]
  # A hop-by-hop list that names other headers would have the app's server strip them (SECURITY-TESTS 2).
  # An upgrade to HTTP/2 in the clear would open a tunnel in which nothing is looked at.
  http-request set-var(txn.upgrade) bool(true) if { req.hdr(connection) -i -m str upgrade } !{ req.hdr(upgrade) -i -m str h2c }
  http-request del-header Connection
  http-request set-var(txn.trailers) bool(true) if { req.hdr(te) -i -m str trailers }
  http-request del-header TE
  http-request set-header TE trailers if { var(txn.trailers) -m bool }
  http-request del-header Upgrade unless { var(txn.upgrade) -m bool }
  http-request set-header Connection upgrade if { var(txn.upgrade) -m bool }

  # --- the platform's own hosts: fixed, ahead of every route, and never in the clear (ARCH-06)
  ${systemHostAcl(settings)}
  http-request redirect location https://%[var(txn.host)]${authority}%[pathq] code 308 if system_host !{ ssl_fc } { method GET HEAD }
  http-request deny deny_status 403 content-type text/plain string "403 Forbidden: HTTPS is required\\n" if system_host !{ ssl_fc }

${directRequest(settings)}  http-request set-header ${HOP_HEADER} "%ci:%cp %HV %[src] %[var(txn.xff),url_enc]" if by_second_front
  use_backend %[var(txn.be)] unless by_second_front
  default_backend to-second-half

  # --- the answer: what is one hop's ends here, and what the platform's own hosts tell browsers
  http-response del-header ^(keep-alive|proxy-connection|proxy-authenticate|te)$ -m reg
  http-after-response set-header X-Vcap-Request-Id %[unique-id]
  http-after-response set-header Strict-Transport-Security max-age=31536000 if system_host { ssl_fc }
${PLATFORM_HEADERS.map(([name, value]) => `  http-after-response set-header ${name} ${value} if system_host !{ res.hdr(${name}) -m found }\n`).join('')}`;
}

/** Of the platform's own hosts, where the API or UAA does not say otherwise. */
const PLATFORM_HEADERS = [
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['X-Permitted-Cross-Domain-Policies', 'none'],
  ['Referrer-Policy', 'strict-origin-when-cross-origin'],
  ['X-XSS-Protection', '0'], // the filters it switched on were holes themselves
] as const;

/**
 * The system hosts' way to control, and to the processes that have some of them. A restart of control shows as a wait: refused connections are tried again for 15 s. A request
 * that control may have seen when it ended is repeated once alone, by the first half: one that ends it would end it 15 times.
 */
function systemBackends(settings: RouterSettings): string[] {
  const { client, platformCa } = settings.certificates;
  const control = { name: 'control', ...settings.control };
  return [control, ...(settings.apart ?? [])].map(
    ({ name, address, port }) => `backend ${name} from base
  # Longer than a handshake takes where many come at once: what is late is not begun again, which would make it later.
  timeout connect 10s
  timeout queue 15s
  retries 15
  retry-on conn-failure
  option abortonclose
  http-reuse safe
  http-request return status 503 content-type text/plain hdr Retry-After 5 string "503 Service Unavailable: The platform's API has no room at the moment.\\n" if { queue(${name}) ge ${2 * CONTROL_REQUESTS} }
${CONTROL_ANSWERS}  http-error status 502 content-type text/plain string "502 Bad Gateway: The platform's API ended without an answer.\\n"
  http-error status 503 content-type text/plain hdr Retry-After 5 string "503 Service Unavailable: The platform's API does not answer at the moment.\\n"
  server ${name} ${address}:${port} ssl crt ${client} ca-file ${platformCa} verify required verifyhost ${name} sni str(${name}) pool-purge-delay 5s maxconn ${CONTROL_REQUESTS}
`,
  );
}

function pool(settings: RouterSettings, table: RouteTable): string {
  const { client, instanceCa } = settings.certificates;
  const servers = new Map(table.pools.map((used) => [used.slot, used.servers]));
  const backends = Array.from({ length: settings.poolSize }, (_, slot) =>
    [
      `backend ${backendName(slot)} from pool`,
      ONE_ATTEMPT,
      '  use-server %[var(txn.srv)] if { var(txn.srv) -m found }',
      repeatServer(settings),
      ...(servers.get(slot) ?? []).map(
        (server) => `  server ${server.instanceGuid} ${haproxyAddress(server)} ${serverKeywords(settings, server)}`,
      ),
      '',
    ].join('\n'),
  ).join('');
  return `defaults pool from base
  balance roundrobin
  http-reuse always
  option redispatch 1
  # Who goes away while a connection is made for them waits no longer. Of one that goes later an app learns nothing.
  option abortonclose
  fullconn 10000
  http-error status 502 content-type text/plain string ${ENDPOINT_FAILED}
  http-error status 503 content-type text/plain string ${ENDPOINT_FAILED}
  http-error status 504 content-type text/plain string ${ENDPOINT_SILENT}
${POOL_ANSWERS}  # An app that opens a session gets it bound to its instance.
  http-response add-header Set-Cookie "__VCAP_ID__=%s; Path=/; HttpOnly; Secure; SameSite=Lax" if !by_second_half { res.cook(JSESSIONID) -m found } { res.hdr(Set-Cookie) -m reg -i JSESSIONID=.*;.*Secure }
  http-response add-header Set-Cookie "__VCAP_ID__=%s; Path=/; HttpOnly" if !by_second_half { res.cook(JSESSIONID) -m found } !{ res.hdr(Set-Cookie) -m reg -i JSESSIONID=.*;.*Secure }

# Holds the client certificate and the instances' root in memory for the servers added later.
backend certificates from pool
  server holder 127.0.0.1:1 disabled ssl crt ${client} ca-file ${instanceCa} verify required

${backends}`;
}

/** IPv6 addresses stand in brackets before the port. */
export function haproxyAddress(target: { address: string; port: number }): string {
  return target.address.includes(':') ? `[${target.address}]:${target.port}` : `${target.address}:${target.port}`;
}
