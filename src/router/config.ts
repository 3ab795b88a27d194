import { LOG_FORMAT } from './access-log.ts';
import { EMPTY_ROUTE_TABLE, instanceKey, type RouteServer, type RouteTable } from './route-table.ts';
import {
  backendName,
  DEFAULT_ROUTER_TLS,
  instancesMapOf,
  NO_ENDPOINTS,
  type RouterSettings,
  routerListeners,
  routesMapOf,
  tlsSocketOf,
} from './settings.ts';

/** Labels a wildcard may stand for: `*.example.org` serves up to `a.b.c.d.example.org`. */
const WILDCARD_LEVELS = 4;
/** Above it a request's headers are refused with 431; HAProxy's buffer leaves room for more, so that it can answer. */
const MAX_HEADER_BYTES = 24_576;
const BUFFER_BYTES = 32_768;
/** More headers than this are refused with 431; HAProxy's own table is larger, so that it can answer. */
const MAX_HEADERS = 200;
/** One address may hold this part of all connections: it cannot keep every other client out. */
const CONNECTIONS_PER_ADDRESS = 0.6;
/**
 * What only the router may say, and what belongs to one hop; with "_" for "-" as well, since CGI, WSGI and PHP see both as
 * one name. X-Forwarded-For is read before it goes. Content-Length and Transfer-Encoding go in their false spelling alone.
 */
const NOT_FROM_CLIENTS = [
  'forwarded',
  'x[-_]forwarded[-_].*',
  'x[-_]real[-_]ip',
  'x[-_]vcap[-_]request[-_]id',
  'x[-_]request[-_]start',
  'proxy', // CGI would make HTTP_PROXY of it
  'proxy[-_]connection',
  'keep[-_]alive',
  'http2[-_]settings',
  'content_length',
  'transfer_encoding',
];

/** Keywords that follow the address of an instance's server, in the file and at run time alike (RTR-04). */
export function serverKeywords(settings: RouterSettings, server: RouteServer): string {
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
    ...(server.http2 ? ['proto h2'] : []),
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
  return [globalSection(settings), frontends(settings, inherited), control(settings), pool(settings, table)].join('\n');
}

/** The two maps HAProxy starts with, as text. */
export function renderRouterMaps(table: RouteTable): { routes: string; instances: string } {
  const text = (entries: Iterable<readonly [string, string]>) =>
    [...entries].map(([key, value]) => `${key} ${value}\n`).join('');
  return { routes: text(routeEntries(table)), instances: text(instanceEntries(table)) };
}

export function* routeEntries(table: RouteTable): Generator<[string, string]> {
  for (const [key, slot] of table.routes) yield [key, slot === null ? NO_ENDPOINTS : backendName(slot)];
}

export function* instanceEntries(table: RouteTable): Generator<[string, string]> {
  for (const { slot, servers } of table.pools) {
    for (const server of servers) yield [instanceKey(backendName(slot), server), server.instanceGuid];
  }
}

function globalSection(settings: RouterSettings): string {
  const tls = settings.tls ?? DEFAULT_ROUTER_TLS;
  const group = settings.sockets.driverGroup ? ` group ${settings.sockets.driverGroup}` : '';
  // For splicing HAProxy would keep descriptors for one pipe in four connections; without a free pipe it copies.
  const pipes = settings.ssh ? `\n  maxpipes ${Math.floor(settings.maxConnections / 16)}` : '';
  return `global
  nbthread ${settings.threads}
  maxconn ${settings.maxConnections}${pipes}
  # The supervisor's socket can hand over listeners; control's cannot.
  stats socket ${settings.sockets.admin} mode 600 level admin expose-fd listeners
  stats socket ${settings.sockets.driver} mode 660${group} level admin
  stats timeout 60s
  log ring@access len ${BUFFER_BYTES / 2} format raw local0
  hard-stop-after 15m
  tune.bufsize ${BUFFER_BYTES}
  tune.http.maxhdr 1024
  tune.ssl.cachesize 20000
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver ${tls.minimumVersion}
  ssl-default-bind-ciphers ${tls.ciphers.join(':')}
  ssl-default-bind-ciphersuites ${tls.cipherSuites.join(':')}
  ssl-default-server-options ssl-min-ver TLSv1.2
  ssl-default-server-ciphers ${DEFAULT_ROUTER_TLS.ciphers.join(':')}
  ssl-default-server-ciphersuites ${DEFAULT_ROUTER_TLS.cipherSuites.join(':')}

# Keeps the access log while control is away, and sends it when it is back.
ring access
  format raw
  maxlen ${BUFFER_BYTES / 2}
  size 8388608
  timeout connect 1s
  timeout server 10s
  server control unix@${settings.logSocket}

defaults base
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 900s
  timeout http-request 15s
  timeout http-keep-alive 60s
  timeout tunnel 1h
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
  ];
  const authority = settings.httpsPort === 443 ? '' : `:${settings.httpsPort}`;
  const wildcards = Array.from({ length: WILDCARD_LEVELS }, (_, level) =>
    [
      `  http-request set-var-fmt(txn.key) "*.%[var(txn.host),field(${level + 2},.,0)]%[var(txn.path)]/" if !{ var(txn.be) -m found }`,
      `  http-request set-var(txn.be) var(txn.key),map_beg(${routesMapOf(settings)}) if !{ var(txn.be) -m found }`,
    ].join('\n'),
  ).join('\n');
  return `${settings.ssh ? sshFront(settings, settings.ssh, secure) : ''}frontend public from base
${binds.map((bind) => `  bind ${bind}\n`).join('')}  unique-id-format %[uuid()]
  log global
  log-format '${LOG_FORMAT}'

  # --- one address cannot take every connection
  stick-table type ipv6 size 50k expire 1m store conn_cur
  tcp-request session track-sc0 src
  tcp-request session reject if { sc0_conn_cur gt ${connectionsPerAddress(settings)} }

  # --- what is refused before anything is looked up
  http-request deny deny_status 431 content-type text/plain string "431 Request Header Fields Too Large\\n" if { req.hdrs,length gt ${MAX_HEADER_BYTES} } || { req.fhdr_cnt gt ${MAX_HEADERS} }
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request\\n" if { req.hdrs -m reg '\\x00' }
  # Before HTTP/1.1 there was no Transfer-Encoding: one server behind would believe it and the next would not (RFC 9112, 6.1).
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request\\n" if { req.ver 1.0 } { req.fhdr(transfer-encoding) -m found }
  http-request deny deny_status 405 content-type text/plain string "405 Method Not Allowed\\n" if { method CONNECT TRACE }
  # A Host that is not one plain name could mean one app here and another one behind.
  http-request deny deny_status 400 content-type text/plain string "400 Bad Request: invalid Host\\n" unless { req.hdr_cnt(host) eq 1 } { req.fhdr(host) -m reg -i ^[a-z0-9_.-]+(:[0-9]{1,5})?$ }
  # The absolute form names the host a second time, and perhaps a user.
  http-request set-uri %[pathq] if { url_beg -i http:// https:// } { fc_http_major 1 }

  # --- request identity and forwarding headers; none of them is believed from a client
  http-request set-var(txn.host) req.fhdr(host),field(1,:),lower
  http-request set-var(txn.uri) pathq,bytes(0,2048)
  http-request set-var(txn.ua) req.fhdr(user-agent),bytes(0,512)
  http-request set-var(txn.referer) req.fhdr(referer),bytes(0,512)
  http-request set-var(txn.xff) req.fhdr(x-forwarded-for),bytes(0,1024)
  http-request del-header ^(${NOT_FROM_CLIENTS.join('|')})$ -m reg
  http-request set-header X-Vcap-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http unless { ssl_fc }
  http-request set-header X-Forwarded-For "%[var(txn.xff)], %[src]" if { var(txn.xff) -m found }
  http-request set-header X-Forwarded-For %[src] unless { var(txn.xff) -m found }
  http-request set-header X-Request-Start %[date(0,ms)]
  # A hop-by-hop list that names other headers would have the app's server strip them (SECURITY-TESTS 2).
  # An upgrade to HTTP/2 in the clear would open a tunnel in which nothing is looked at.
  http-request set-var(txn.upgrade) bool(true) if { req.hdr(connection) -i -m str upgrade } !{ req.hdr(upgrade) -i -m str h2c }
  http-request del-header Connection
  http-request del-header Upgrade unless { var(txn.upgrade) -m bool }
  # "close": where the app refuses, its connection serves nobody else, since it may take what follows for the tunnel.
  http-request set-header Connection "upgrade, close" if { var(txn.upgrade) -m bool }

  # --- the platform's own hosts: fixed, ahead of every route, and never in the clear (ARCH-06)
  acl system_host var(txn.host) -m str ${settings.systemHosts.join(' ')}
  http-request set-log-level silent if system_host
  http-request redirect location https://%[var(txn.host)]${authority}%[pathq] code 308 if system_host !{ ssl_fc } { method GET HEAD }
  http-request deny deny_status 403 content-type text/plain string "403 Forbidden: HTTPS is required\\n" if system_host !{ ssl_fc }

  # --- route: the host with its longest path, then wildcards from the nearest parent
  http-request set-var(txn.path) path,lower
  http-request set-var-fmt(txn.key) "%[var(txn.host)]%[var(txn.path)]/"
  http-request set-var(txn.be) var(txn.key),map_beg(${routesMapOf(settings)}) unless system_host
${wildcards}
  http-request return status 404 content-type text/plain hdr X-Cf-Routererror unknown_route hdr Cache-Control "no-cache, no-store" lf-string "404 Not Found: Requested route ('%[var(txn.host)]') does not exist.\\n" if !system_host !{ var(txn.be) -m found }
  http-request return status 503 content-type text/plain hdr X-Cf-Routererror no_endpoints hdr Cache-Control "no-cache, no-store" lf-string "503 Service Unavailable: Requested route ('%[var(txn.host)]') has no available endpoints.\\n" if { var(txn.be) -m str ${NO_ENDPOINTS} }

  # --- one instance: X-CF-App-Instance by "app guid:index", or the one a session is bound to
  acl instance_wanted req.hdr(X-CF-App-Instance) -m found
  http-request return status 400 content-type text/plain hdr X-Cf-Routererror invalid_cf_app_instance_header string "400 Bad Request: Invalid X-CF-App-Instance header\\n" if !system_host instance_wanted !{ req.fhdr(X-CF-App-Instance) -m reg ^[0-9a-zA-Z-]{1,100}:[0-9]{1,9}$ }
  http-request set-var-fmt(txn.key) "%[var(txn.be)]/%[req.fhdr(X-CF-App-Instance)]" if !system_host instance_wanted
  http-request set-var(txn.srv) var(txn.key),map_str(${instancesMapOf(settings)}) if !system_host instance_wanted
  http-request return status 400 content-type text/plain hdr X-Cf-Routererror unknown_route lf-string "400 Bad Request: Requested instance ('%[req.fhdr(X-CF-App-Instance)]') does not exist for route ('%[var(txn.host)]')\\n" if !system_host instance_wanted !{ var(txn.srv) -m found }
  http-request set-var(txn.srv) req.cook(__VCAP_ID__) if !instance_wanted { req.cook(JSESSIONID) -m found } { req.cook(__VCAP_ID__) -m found }
  use_backend control if system_host
  use_backend %[var(txn.be)]

  http-after-response set-header X-Vcap-Request-Id %[unique-id]
  http-after-response set-var(txn.routererror) res.hdr(X-Cf-Routererror) if !{ var(txn.answered) -m found }
`;
}

/** Of one client; where a front stands before, each of them is two. */
function connectionsPerAddress({ maxConnections, ssh }: RouterSettings): number {
  return Math.max(10, Math.floor((maxConnections * CONNECTIONS_PER_ADDRESS) / (ssh ? 2 : 1)));
}

/**
 * The front of the HTTPS port where SSH is to come in there too: the first bytes of a connection tell which it is
 * (RFC 4253 section 4.2: "SSH-"; RFC 8446 section 5.1: a handshake record). Both sides of SSH speak at once, so that silence
 * is neither; it ends with the delay.
 */
function sshFront(settings: RouterSettings, ssh: { address: string; port: number }, listeners: string[]): string {
  return `defaults first-bytes
  mode tcp
  timeout connect 5s
  timeout client 900s
  timeout server 900s
  timeout client-fin 30s
  timeout server-fin 30s
  option splice-auto

frontend first-bytes from first-bytes
${listeners.map((at) => `  bind ${at}\n`).join('')}  tcp-request inspect-delay 10s
  tcp-request connection track-sc1 src table public
  tcp-request connection reject if { sc1_conn_cur(public) gt ${2 * connectionsPerAddress(settings)} }
  tcp-request content accept if { req.payload(0,1) -m bin 16 }
  tcp-request content accept if { req.payload(0,4) -m str SSH- }
  tcp-request content reject if { req.len ge 4 } || WAIT_END
  use_backend ssh if { req.payload(0,4) -m str SSH- }
  default_backend tls

backend tls from first-bytes
  server tls unix@${tlsSocketOf(settings)} send-proxy-v2

backend ssh from first-bytes
  server ssh ${haproxyAddress(ssh)} send-proxy-v2

`;
}

/** The system hosts' way to control. A restart of control shows as a wait: refused connections are tried again for 15 s. */
function control(settings: RouterSettings): string {
  const { client, platformCa } = settings.certificates;
  return `backend control from base
  timeout connect 2s
  retries 15
  retry-on conn-failure empty-response
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }
  http-reuse safe
  http-error status 503 content-type text/plain hdr Retry-After 5 string "503 Service Unavailable: The platform's API does not answer at the moment.\\n"
  server control ${settings.control.address}:${settings.control.port} ssl crt ${client} ca-file ${platformCa} verify required verifyhost control sni str(control) pool-purge-delay 5s
`;
}

function pool(settings: RouterSettings, table: RouteTable): string {
  const { client, instanceCa } = settings.certificates;
  const servers = new Map(table.pools.map((used) => [used.slot, used.servers]));
  const backends = Array.from({ length: settings.poolSize }, (_, slot) =>
    [
      `backend ${backendName(slot)} from pool`,
      '  use-server %[var(txn.srv)] if { var(txn.srv) -m found }',
      ...(servers.get(slot) ?? []).map(
        (server) => `  server ${server.instanceGuid} ${haproxyAddress(server)} ${serverKeywords(settings, server)}`,
      ),
      '',
    ].join('\n'),
  ).join('');
  return `defaults pool from base
  balance roundrobin
  http-reuse always
  retries 1
  option redispatch 1
  retry-on conn-failure empty-response
  fullconn 10000
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }
  http-error status 502 content-type text/plain string "502 Bad Gateway: Registered endpoint failed to handle the request.\\n"
  http-error status 503 content-type text/plain string "502 Bad Gateway: Registered endpoint failed to handle the request.\\n"
  http-error status 504 content-type text/plain string "504 Gateway Timeout: Registered endpoint did not answer in time.\\n"
  http-response set-var(txn.answered) bool(true)
  # An app that opens a session gets it bound to its instance.
  http-response add-header Set-Cookie "__VCAP_ID__=%s; Path=/; HttpOnly; Secure; SameSite=Lax" if { res.cook(JSESSIONID) -m found } { res.hdr(Set-Cookie) -m reg -i JSESSIONID=.*;.*Secure }
  http-response add-header Set-Cookie "__VCAP_ID__=%s; Path=/; HttpOnly" if { res.cook(JSESSIONID) -m found } !{ res.hdr(Set-Cookie) -m reg -i JSESSIONID=.*;.*Secure }
  http-after-response set-status 502 reason "Bad Gateway" if { status 503 } !{ var(txn.answered) -m found }
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status 502 504 } !{ var(txn.answered) -m found }

# Holds the client certificate and the instances' root in memory for the servers added later.
backend certificates from pool
  server holder 127.0.0.1:1 disabled ssl crt ${client} ca-file ${instanceCa} verify required

${backends}`;
}

/** IPv6 addresses stand in brackets before the port. */
export function haproxyAddress(target: { address: string; port: number }): string {
  return target.address.includes(':') ? `[${target.address}]:${target.port}` : `${target.address}:${target.port}`;
}
