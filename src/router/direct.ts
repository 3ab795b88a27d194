import { ENDPOINT_FAILED } from './bounds.ts';
import { INSTANCE_KEYS } from './repeats.ts';
import { instancesMapOf, REPEAT_SERVER, type RouterSettings, repeatSocketOf } from './settings.ts';

/*
 * HAProxy answers 502 where a server ends with a request that can be sent again, and keeps no connection that was fed by half. So a
 * request to an app needs no connection of its own within the router: the front leads it to its instance at once. What nobody answered
 * goes to the second front ("again" below), which chooses among the other instances.
 *
 * HAProxy balances anew for a retry, and knows of no server that it tried. So none of the instances is balanced (their weight is 0): the
 * front names the one of a first attempt, in turns, and the server that is left to the balance is the way to the second front.
 */

/** The first sticky counters of a stream that the connection does not use. */
export const STREAM_COUNTERS = { client: 3, containers: 4, all: 5, turns: 6 };

/** In the section "global". */
export const DIRECT_GLOBAL = `  tune.stick-counters 7
`;

/** What the front tells the second one of a repeat; HAProxy reads 1,024 bytes of it, of which a client's cookie may have 300. */
const TLV = '0xE0';
const TOLD = ['%[var(txn.version)]', '%[var(txn.at)]', '%Tc', '%[var(txn.srv),url_enc]', '%[var(txn.second)]'];

/** Whose turn it is, by backend; and all requests to apps. */
export function directTables(settings: RouterSettings): string {
  return `backend turns from base
  stick-table type string len 16 size ${2 * settings.poolSize} expire 10m store http_req_cnt

backend under-way from base
  stick-table type integer size 10 expire 1m store conn_cur

`;
}

/**
 * In the front: what goes by the second one. On a kept connection a request that is not answered ends without a word, or over HTTP/2 with
 * the word that nobody has seen it, unless HAProxy can send it again, which it can where all of it has come. Whether it has is not to be told
 * over HTTP/2 where no length is.
 */
export const BY_SECOND_FRONT = `  http-request set-var(txn.len) req.body_len if { req.fhdr(content-length) -m found }
  http-request set-var(txn.missing) req.fhdr(content-length),sub(txn.len) if { var(txn.len) -m found }
  acl by_second_front var(txn.hop) -m bool
  http-request set-var(txn.hop) bool(true) if system_host || { var(txn.missing) -m int gt 0 } || { fc_http_major 1 } { req.fhdr(transfer-encoding) -m found } || { fc_http_major 2 } !{ req.fhdr(content-length) -m found } !{ method GET HEAD OPTIONS }
`;

/** In the front, and in the second one for what goes its way: no more under way than the router has room for. */
export function allUnderWay(settings: RouterSettings): string {
  const { all } = STREAM_COUNTERS;
  return `  http-request track-sc${all} int(1) table under-way unless system_host
  http-request return status 503 content-type text/plain hdr Retry-After 5 string "503 Service Unavailable: The router has no room at the moment.\\n" if { sc_conn_cur(${all},under-way) gt ${settings.maxConnections} }
`;
}

/** After the route is known: the instance of the first attempt, where no other rule has chosen it. `only`: which requests have one. */
export function chooseFirst(settings: RouterSettings, only: string): string {
  const entry = `var(txn.key),map_str(${instancesMapOf(settings)})`;
  const { turns } = STREAM_COUNTERS;
  return `  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.count}" if ${only}
  http-request set-var(txn.count) ${entry} if ${only}
  http-request track-sc${turns} var(txn.be) table turns if { var(txn.count) -m found } !{ var(txn.srv) -m found }
  http-request set-var(txn.at) int(0) if ${only}
  http-request set-var(txn.at) sc_http_req_cnt(${turns},turns),mod(txn.count) if { sc_tracked(${turns}) }
  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.at}" if ${only}
  http-request set-var(txn.srv) ${entry} if ${only} !{ var(txn.srv) -m found }
`;
}

/** In a backend with instances: an attempt of the second front is one, since the first counts them. */
export const ONE_ATTEMPT = '  http-request set-retries 0 if { var(txn.second) -m found }';

/** In a backend with instances: the way to the second front. */
export function repeatServer(settings: RouterSettings): string {
  return `  server ${REPEAT_SERVER} unix@${repeatSocketOf(settings)} pool-max-conn 0 send-proxy-v2 set-proxy-v2-tlv-fmt(${TLV}) "${TOLD.join(' ')}"`;
}

/** In the second front: where repeats come. */
export function repeatListener(settings: RouterSettings): string {
  return `  bind unix@${repeatSocketOf(settings)} mode 600 accept-proxy
`;
}

/** In the second front: what the first one knows of a repeat. */
export const TAKE_REPEAT = `  http-request set-var(txn.second) int(1)
  http-request set-var(txn.told) fc_pp_tlv(${TLV}) unless { var(txn.hop) -m found }
  acl again var(txn.told) -m found
  http-request set-var-fmt(txn.client) "%ci:%cp" if again
  http-request set-var(txn.version) var(txn.told),field(1,' ') if again
  http-request set-var(txn.first) var(txn.told),field(2,' ') if again
  http-request set-var(txn.asked) var(txn.told),field(4,' ') if again
  # All but the client, which the front added.
  http-request set-var(txn.xff) "req.fhdr(x-forwarded-for),regsub('(, )?[^,]*\\$','')" if again
  http-request set-var(txn.first) req.fhdr(x-vcap-request-id),crc32 unless again
`;

/**
 * In the second front, when the line of the log is known: what an app may have seen is not sent a second time unless that does no harm
 * (a connection that was never there has no time of its making, -1); and a repeat that the second front itself had to give up has no
 * instance.
 */
export const REFUSE_REPEAT = `  http-request return status 502 content-type text/plain hdr X-Cf-Routererror endpoint_failure string ${ENDPOINT_FAILED} if again { var(txn.told),field(5,' ') -m str 1 } || again !{ var(txn.told),field(3,' ') -m str -- -1 } !{ method GET HEAD OPTIONS }
`;
