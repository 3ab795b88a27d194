import type { RouteServer } from './route-table.ts';
import { instancesMapOf, REPEAT_SERVER, type RouterSettings } from './settings.ts';

/** After the first attempt. A GET finds one instance that listens among three that do not. */
const REPEATS = 3;
/** Between the router's halves, in the place of an app's own `unanswered`. */
const OWN = 599;
const OWN_STATUS = 'X-Cupola-Status';
/** In the place of the reason, in the access log: the status above was the app's own one. */
export const OWN_ANSWER = /^own_(\d+)$/;

/*
 * The first half of the router sends what nobody answered again, the second chooses where. Which attempt it is the second knows from a
 * table of request identities, for HAProxy sends the same bytes again: a first attempt goes where the balance leads; each later one to
 * the next of the instances in order, from a place that is the request's own, so that none is asked in vain twice.
 */

/**
 * Between the router's halves and of a cell proxy: a request that nobody has begun. HAProxy 3.2 may be told to repeat 421, which says just
 * this (RFC 9110, 15.5.20); 2.6 may not.
 */
function unanswered({ direct }: Pick<RouterSettings, 'direct'>): 421 | 425 {
  return direct ? 421 : 425;
}

/** In a backend of the first half: what becomes of an answer of the second one. `only`: where others may answer too. */
function answersOfSecondHalf(settings: RouterSettings, only = ''): string {
  const status = unanswered(settings);
  return `  http-response set-status 502 reason "Bad Gateway" if { status ${status} } ${only}
  http-response set-status ${status} if { status ${OWN} } { res.hdr(${OWN_STATUS}) -m found } ${only}
  http-response del-header ${OWN_STATUS} if { res.hdr(${OWN_STATUS}) -m found } ${only}
`;
}

/** In the first half's backend: what is repeated, and what becomes of what was not answered. */
export function repeating(settings: RouterSettings): string {
  return `  retries ${REPEATS}
  retry-on conn-failure ${unanswered(settings)}
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }
  # HAProxy 3.2 ends the connection between the halves without a word where a kept one to an app ends.
  http-response set-var(txn.passed) bool(true)
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status 502 504 } !{ var(txn.passed) -m found }
${answersOfSecondHalf(settings)}`;
}

/** How often each request that may be repeated was tried, by its id. */
export function attemptsTable(settings: RouterSettings): string {
  return `backend attempts from base
  stick-table type string len 36 size ${4 * settings.maxConnections} expire 5s store http_req_cnt

`;
}

/** In the second half, before the instance is chosen: whether it is a repeat. */
export function countAttempt({ direct }: RouterSettings): string {
  return `  acl repeatable method GET HEAD OPTIONS
  http-request track-sc2 req.fhdr(x-vcap-request-id) table attempts if repeatable
  http-request set-var(txn.repeatable) bool(true) if repeatable
  http-request set-var(txn.repeated) bool(true) if { sc2_http_req_cnt(attempts) gt 1 }
${direct ? '  http-request set-var(txn.repeated) bool(true) if again\n' : ''}`;
}

/** The keys of the map of instances, in HAProxy's words. */
export const INSTANCE_KEYS = { count: '%[var(txn.be)]/instances', at: '%[var(txn.be)]/%[var(txn.at)]' };

/** In the second half: the instance of a repeat. `unless`: where another rule has chosen it. */
export function chooseAgain(settings: RouterSettings, unless: string): string {
  const entry = `var(txn.key),map_str(${instancesMapOf(settings)})`;
  // After the one that was asked first; with an older HAProxy from a place that is the request's own.
  const place = settings.direct ? 'var(txn.first)' : 'req.fhdr(x-vcap-request-id),crc32';
  const alone = settings.direct
    ? `  http-request set-var(txn.count) int(1) if { var(txn.repeated) -m bool } !{ var(txn.count) -m found } ${unless}\n`
    : '';
  return `  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.count}" if { var(txn.repeated) -m bool } ${unless}
  http-request set-var(txn.count) ${entry} if { var(txn.repeated) -m bool } ${unless}
${alone}  http-request set-var(txn.attempt) sc2_http_req_cnt(attempts) if { var(txn.count) -m found }
  http-request set-var(txn.at) ${place},add(txn.attempt),mod(txn.count) if { var(txn.count) -m found }
  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.at}" if { var(txn.count) -m found }
  http-request set-var(txn.srv) ${entry} if { var(txn.count) -m found }
`;
}

/** What the map of instances holds for it: each by its number, and how many a backend has where there are several. */
export function* repeatEntries(backend: string, servers: readonly RouteServer[]): Generator<[string, string]> {
  if (servers.length > 1) yield [`${backend}/instances`, `${servers.length}`];
  for (const [at, { instanceGuid }] of servers.entries()) yield [`${backend}/${at}`, instanceGuid];
}

/** In the second half's front: an app's own `unanswered` is no request to repeat. After the backends' rules. */
export function ownAnswers(settings: RouterSettings): string {
  const status = unanswered(settings);
  return `  http-after-response del-header ${OWN_STATUS}
  http-after-response set-header ${OWN_STATUS} ${status} if { status ${status} } { var(txn.answered) -m bool }
  http-after-response set-var(txn.routererror) str(own_${status}) if { res.hdr(${OWN_STATUS}) -m found }
  http-after-response set-status ${OWN} if { res.hdr(${OWN_STATUS}) -m found }
`;
}

/**
 * In a backend with instances. The cell proxy says 421 (425 of before) where nobody listens at the instance (see there), and HAProxy 503
 * where no cell proxy does: nothing has begun. After 502 the app may have seen the request: it is repeated once.
 */
export function poolAnswers(settings: RouterSettings): string {
  const status = unanswered(settings);
  const endpointDown = '  acl endpoint_down res.hdr(X-Cf-Routererror) -m str endpoint_failure\n';
  const judge = `  # An app's word is not the router's.
  http-response del-header X-Cf-Routererror if { var(txn.answered) -m bool }
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status 421 425 502 503 504 } !{ var(txn.answered) -m found }
`;
  if (!settings.direct)
    return `${endpointDown}  http-response set-var(txn.answered) bool(true) unless { status 421 425 } endpoint_down
${judge}  http-after-response set-status ${status} reason "Unanswered" if { status 502 } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found }
  http-after-response set-status ${status} reason "Unanswered" if { status 421 503 } !{ var(txn.answered) -m found }
`;
  return `  retries ${REPEATS}
  retry-on conn-failure empty-response junk-response ${status}
  # Over HTTP/1.1 what may not be repeated goes to the second half too, which says 502: HAProxy says nothing on a kept connection.
  http-request disable-l7-retry if { var(txn.second) -m found } || { fc_http_major 2 } !{ method GET HEAD OPTIONS }
${endpointDown}  acl by_second_half srv_name -m str ${REPEAT_SERVER}
  # What the second half says is said, and stands in its log.
  http-response set-log-level silent if by_second_half
  http-response del-header ${OWN_STATUS} unless by_second_half
${answersOfSecondHalf(settings, 'by_second_half')}  http-response set-var(txn.answered) bool(false) if by_second_half
  http-response set-var(txn.answered) bool(true) unless by_second_half || { status 421 425 } endpoint_down
${judge}  http-after-response set-status 502 reason "Bad Gateway" if { status 421 425 } !{ var(txn.answered) -m found } !{ var(txn.second) -m found }
  http-after-response set-status ${status} reason "Unanswered" if { status 502 } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found } { var(txn.second) -m found }
  http-after-response set-status ${status} reason "Unanswered" if { status 421 425 503 } !{ var(txn.answered) -m found } { var(txn.second) -m found }
`;
}

/** In the backend of the platform's own hosts. */
export function controlAnswers(settings: RouterSettings): string {
  return `  http-response set-var(txn.answered) bool(true)
  http-after-response set-status ${unanswered(settings)} reason "Unanswered" if { status 502 } { var(txn.repeatable) -m bool } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found }
`;
}
