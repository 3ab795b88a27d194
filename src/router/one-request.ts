import { transitSeconds } from '../kit/haproxy.ts';
import { LOG_FORMAT } from './access-log.ts';
import { ENDPOINT_FAILED, ENDPOINT_SILENT, MAX_HEADER_BYTES } from './bounds.ts';
import { HOP_HEADER } from './client-headers.ts';
import { allUnderWay, BY_SECOND_FRONT, chooseFirst, REFUSE_REPEAT, repeatListener, TAKE_REPEAT } from './direct.ts';
import { attemptsTable, COUNT_ATTEMPT, chooseAgain, INSTANCE_KEYS, OWN_ANSWERS, REPEATING } from './repeats.ts';
import { instancesMapOf, NO_ENDPOINTS, oneRequestSocketOf, type RouterSettings, routesMapOf } from './settings.ts';
import { requestShares } from './shares.ts';

/** Labels a wildcard may stand for: `*.example.org` serves up to `a.b.c.d.example.org`. */
const WILDCARD_LEVELS = 4;
/**
 * The second half of the router: requests come to it on a connection of their own, whatever connection the client has. Repeats do, requests that
 * are not whole or may not be, and those to the platform's own hosts (docs/decisions/0051).
 *
 * HAProxy answers only the first request of a connection when a server dies on it and the request cannot be sent again, so that a client
 * would never learn of a 502.
 *
 * The route is looked up here, so that no time passes between that and the choice of a server: a slot may get other servers.
 * A request that nobody answered goes back as 425. The first half sends it again where that is safe, or makes 502 of it.
 */
export function oneRequest(settings: RouterSettings): string {
  const transit = transitSeconds(settings.idle);
  return `${attemptsTable(settings)}backend to-second-half from base
  option http-server-close
${REPEATING}  # Longer than the second half waits for an answer, which says what it waited for.
  timeout server ${transit}s
  timeout tunnel ${transit}s
  http-error status 502 content-type text/plain string ${ENDPOINT_FAILED}
  http-error status 503 content-type text/plain hdr Retry-After 5 string "503 Service Unavailable: The router has no room at the moment.\\n"
  http-error status 504 content-type text/plain string ${ENDPOINT_SILENT}
  server one-request unix@${oneRequestSocketOf(settings)}

frontend one-request from base
  bind unix@${oneRequestSocketOf(settings)} mode 600
${repeatListener(settings)}  # What HTTP/2 allows in an address, the strict reading of HTTP/1.1 does not; all of it has been judged by the first half.
  option accept-unsafe-violations-in-http-request
  # The first half knows how long the client may be silent.
  timeout client ${transit}s
  stick-table type ipv6 size 50k expire 1m store conn_cur
  unique-id-format %[req.fhdr(x-vcap-request-id)]
  http-request set-var(txn.hop) req.fhdr(${HOP_HEADER})
  http-request del-header ${HOP_HEADER}
  http-request set-var(txn.client) var(txn.hop),field(1,' ')
  http-request set-var(txn.version) var(txn.hop),field(2,' ')
  http-request set-var(txn.xff) var(txn.hop),field(4,' '),url_dec
${TAKE_REPEAT}  http-request set-var(txn.proto) req.fhdr(x-forwarded-proto)
  http-request set-var(txn.host) req.fhdr(host),field(1,:),lower
  ${systemHostAcl(settings)}
${accessLog('system_host')}${REFUSE_REPEAT}  # Not from X-Forwarded-For, whose beginning is the client's: a quote there would hide what stands after it.
  http-request set-var(txn.address) var(txn.hop),field(3,' ')
${requestShares(settings, 'var(txn.address)', 'control')}  # A small body is waited for, and the begin of a larger one: whoever sends it slowly costs control nothing (408 after
  # that).
  http-request wait-for-body time 15s if system_host
  # The hop's own.
  http-request del-header Connection if { req.fhdr(connection) -i -m str close }
${tunnels()}${answers()}${OWN_ANSWERS}
${route(settings)}${COUNT_ATTEMPT}${chooseAgain(settings, '!system_host !instance_wanted')}  # A repeat is bound to no instance: that one did not answer.
${bound(settings, '!{ var(txn.repeated) -m bool }')}${chooseFirst(settings, '!system_host !{ var(txn.repeated) -m bool }')}${systemRoutes(settings)}  use_backend %[var(txn.be)]

`;
}

/** System hosts go to the process that has them. */
function systemRoutes({ apart = [] }: RouterSettings): string {
  const own = apart.map(({ name, hosts }) => `  use_backend ${name} if { var(txn.host) -m str ${hosts.join(' ')} }\n`);
  return `${own.join('')}  use_backend control if system_host\n`;
}

/** In the front: a request to an app goes on from here. */
export function directRequest(settings: RouterSettings): string {
  return `  # --- to an app: its share, its route, its instance
${BY_SECOND_FRONT}  http-request set-var-fmt(txn.client) "%ci:%cp"
  http-request set-var-fmt(txn.version) "%HV"
  http-request set-var(txn.proto) req.fhdr(x-forwarded-proto)
${accessLog('by_second_front')}${requestShares(settings, 'src', 'apps')}${allUnderWay(settings)}${tunnels()}${answers()}${route(settings)}${bound(settings, '')}${chooseFirst(settings, '!by_second_front')}`;
}

/** What the log's line says of a request to an app; there is none of others. */
function accessLog(none: string): string {
  return `  log global
  log-format '${LOG_FORMAT}'
  http-request set-var(txn.uri) pathq,bytes(0,2048)
  http-request set-var(txn.ua) req.fhdr(user-agent),bytes(0,512)
  http-request set-var(txn.referer) req.fhdr(referer),bytes(0,512)
  http-request set-log-level notice unless ${none}
`;
}

/** "close": where the app refuses, its connection serves nobody else, since it may take what follows for the tunnel. */
function tunnels(): string {
  return `  http-request set-header Connection "upgrade, close" if { req.fhdr(upgrade) -m found }
`;
}

function answers(): string {
  return `  # What no client's reader would take: a status of another length.
  http-response return status 502 content-type text/plain hdr X-Cf-Routererror endpoint_failure string ${ENDPOINT_FAILED} if { status lt 100 } || { status gt 999 }
  http-response return status 502 content-type text/plain hdr X-Cf-Routererror response_headers_too_large string "502 Bad Gateway: The headers of the endpoint's answer are too large.\\n" if { res.hdrs,length gt ${MAX_HEADER_BYTES} }
  http-after-response set-var(txn.routererror) res.hdr(X-Cf-Routererror) if !{ var(txn.answered) -m found }
`;
}

/** The one a session is bound to, where it is one of the backend's: a client may name any. */
function bound(settings: RouterSettings, unless: string): string {
  return `  http-request set-var(txn.bound) req.cook(__VCAP_ID__),bytes(0,100) if !instance_wanted ${unless} { req.cook(JSESSIONID) -m found } { req.cook(__VCAP_ID__) -m found }
  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.bound}" if { var(txn.bound) -m found }
  http-request set-var(txn.srv) var(txn.key),map_str(${instancesMapOf(settings)}) if { var(txn.bound) -m found }
`;
}

/** Which backend, and which of its instances where one is asked for. */
function route(settings: RouterSettings): string {
  const wildcards = Array.from({ length: WILDCARD_LEVELS }, (_, level) =>
    [
      `  http-request set-var-fmt(txn.key) "*.%[var(txn.host),field(${level + 2},.,0)]%[var(txn.path)]/" if !{ var(txn.be) -m found }`,
      `  http-request set-var(txn.be) var(txn.key),map_beg(${routesMapOf(settings)}) if !system_host !{ var(txn.be) -m found }`,
    ].join('\n'),
  ).join('\n');
  return `  # --- route: the host with its longest path, then wildcards from the nearest parent
  http-request set-var(txn.path) path,lower
  http-request set-var-fmt(txn.key) "%[var(txn.host)]%[var(txn.path)]/"
  http-request set-var(txn.be) var(txn.key),map_beg(${routesMapOf(settings)}) unless system_host
${wildcards}
  http-request return status 404 content-type text/plain hdr X-Cf-Routererror unknown_route hdr Cache-Control "no-cache, no-store" lf-string "404 Not Found: Requested route ('%[var(txn.host)]') does not exist.\\n" if !system_host !{ var(txn.be) -m found }
  http-request return status 503 content-type text/plain hdr X-Cf-Routererror no_endpoints hdr Cache-Control "no-cache, no-store" lf-string "503 Service Unavailable: Requested route ('%[var(txn.host)]') has no available endpoints.\\n" if { var(txn.be) -m str ${NO_ENDPOINTS} }

  # --- one instance: by "app guid:index" or "process guid:index", or the one a session is bound to
  http-request return status 400 content-type text/plain hdr X-Cf-Routererror invalid_cf_app_instance_header string "400 Bad Request: Invalid X-CF-App-Instance header\\n" if !system_host { req.hdr(X-CF-App-Instance) -m found } !{ req.fhdr(X-CF-App-Instance) -m reg ^[0-9a-zA-Z-]{1,100}:[0-9]{1,9}$ }
  http-request return status 400 content-type text/plain hdr X-Cf-Routererror invalid_cf_process_instance_header string "400 Bad Request: Invalid X-CF-Process-Instance header\\n" if !system_host { req.hdr(X-CF-Process-Instance) -m found } !{ req.fhdr(X-CF-Process-Instance) -m reg ^[0-9a-zA-Z-]{1,100}:[0-9]{1,9}$ }
  http-request set-var(txn.wanted) req.fhdr(X-CF-Process-Instance)
  http-request set-var(txn.wanted) req.fhdr(X-CF-App-Instance) if { req.hdr(X-CF-App-Instance) -m found }
  acl instance_wanted var(txn.wanted) -m found
  http-request set-var-fmt(txn.key) "%[var(txn.be)]/%[var(txn.wanted)]" if !system_host instance_wanted
  http-request set-var(txn.srv) var(txn.key),map_str(${instancesMapOf(settings)}) if !system_host instance_wanted
  http-request return status 400 content-type text/plain hdr X-Cf-Routererror unknown_route lf-string "400 Bad Request: Requested instance ('%[var(txn.wanted)]') does not exist for route ('%[var(txn.host)]')\\n" if !system_host instance_wanted !{ var(txn.srv) -m found }
`;
}

/** The names that are the platform's own. */
export function systemHostAcl(settings: RouterSettings): string {
  return `acl system_host var(txn.host) -m str ${settings.systemHosts.join(' ')}`;
}
