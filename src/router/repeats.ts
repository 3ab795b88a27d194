import { UNANSWERED } from '../kit/haproxy.ts';
import type { RouteServer } from './route-table.ts';
import { instancesMapOf, REPEAT_SERVER, type RouterSettings } from './settings.ts';

/** After the first attempt. A GET finds one instance that listens among three that do not. */
const REPEATS = 3;
/** Between the router's halves, in the place of an app's own `UNANSWERED`. */
const OWN = 599;
const OWN_STATUS = 'X-Cupola-Status';
/** In the place of the reason, in the access log: the status above was the app's own one. */
export const OWN_ANSWER = /^own_(\d+)$/;

/*
 * The first half of the router sends what nobody answered again, the second chooses where. Which attempt it is the second knows from a
 * table of request identities, for HAProxy sends the same bytes again: each attempt goes to the next of the instances in order, from the one
 * that was asked first, so that none is asked in vain twice.
 */

/** In a backend of the first half: what becomes of an answer of the second one. `only`: where others may answer too. */
function answersOfSecondHalf(only = ''): string {
  return `  http-response set-status 502 reason "Bad Gateway" if { status ${UNANSWERED} } ${only}
  http-response set-status ${UNANSWERED} if { status ${OWN} } { res.hdr(${OWN_STATUS}) -m found } ${only}
  http-response del-header ${OWN_STATUS} if { res.hdr(${OWN_STATUS}) -m found } ${only}
`;
}

/** In the first half's backend: what is repeated, and what becomes of what was not answered. */
export const REPEATING = `  retries ${REPEATS}
  retry-on conn-failure ${UNANSWERED}
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }
  # HAProxy 3.2 ends the connection between the halves without a word where a kept one to an app ends.
  http-response set-var(txn.passed) bool(true)
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status 502 504 } !{ var(txn.passed) -m found }
${answersOfSecondHalf()}`;

/** How often each request that may be repeated was tried, by its id. */
export function attemptsTable(settings: RouterSettings): string {
  return `backend attempts from base
  stick-table type string len 36 size ${4 * settings.maxConnections} expire 5s store http_req_cnt

`;
}

/** In the second half, before the instance is chosen: whether it is a repeat. */
export const COUNT_ATTEMPT = `  acl repeatable method GET HEAD OPTIONS
  http-request track-sc2 req.fhdr(x-vcap-request-id) table attempts if repeatable
  http-request set-var(txn.repeatable) bool(true) if repeatable
  http-request set-var(txn.repeated) bool(true) if { sc2_http_req_cnt(attempts) gt 1 }
  http-request set-var(txn.repeated) bool(true) if again
`;

/** The keys of the map of instances, in HAProxy's words. */
export const INSTANCE_KEYS = {
  count: '%[var(txn.be)]/instances',
  at: '%[var(txn.be)]/%[var(txn.at)]',
  bound: '%[var(txn.be)]/bound/%[var(txn.bound)]',
};

/** In the second half: the instance of a repeat. `unless`: where another rule has chosen it. */
export function chooseAgain(settings: RouterSettings, unless: string): string {
  const entry = `var(txn.key),map_str(${instancesMapOf(settings)})`;
  return `  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.count}" if { var(txn.repeated) -m bool } ${unless}
  http-request set-var(txn.count) ${entry} if { var(txn.repeated) -m bool } ${unless}
  http-request set-var(txn.count) int(1) if { var(txn.repeated) -m bool } !{ var(txn.count) -m found } ${unless}
  http-request set-var(txn.attempt) sc2_http_req_cnt(attempts) if { var(txn.count) -m found }
  http-request set-var(txn.at) var(txn.first),add(txn.attempt),mod(txn.count) if { var(txn.count) -m found }
  http-request set-var-fmt(txn.key) "${INSTANCE_KEYS.at}" if { var(txn.count) -m found }
  http-request set-var(txn.srv) ${entry} if { var(txn.count) -m found }
`;
}

/** What the map of instances holds for it: each by its number and by its GUID, and how many a backend has where there are several. */
export function* repeatEntries(backend: string, servers: readonly RouteServer[]): Generator<[string, string]> {
  if (servers.length > 1) yield [`${backend}/instances`, `${servers.length}`];
  for (const [at, { instanceGuid }] of servers.entries()) {
    yield [`${backend}/${at}`, instanceGuid];
    yield [`${backend}/bound/${instanceGuid}`, instanceGuid];
  }
}

/** In the second half's front: an app's own `UNANSWERED` is no request to repeat. After the backends' rules. */
export const OWN_ANSWERS = `  http-after-response del-header ${OWN_STATUS}
  http-after-response set-header ${OWN_STATUS} ${UNANSWERED} if { status ${UNANSWERED} } { var(txn.answered) -m bool }
  http-after-response set-var(txn.routererror) str(own_${UNANSWERED}) if { res.hdr(${OWN_STATUS}) -m found }
  http-after-response set-status ${OWN} if { res.hdr(${OWN_STATUS}) -m found }
`;

/**
 * In a backend with instances. The cell proxy says 425 where nobody listens at the instance (`UNANSWERED`), and HAProxy 503
 * where no cell proxy does: nothing has begun. After 502 the app may have seen the request: it is repeated once.
 */
export const POOL_ANSWERS = `  retries ${REPEATS}
  retry-on conn-failure empty-response ${UNANSWERED}
  # What may not be repeated goes to the second half too, which says 502: HAProxy says nothing on a kept connection of HTTP/1.1, and over
  # HTTP/2 that nobody has seen the request (REFUSED_STREAM), so that clients send it again.
  http-request disable-l7-retry if { var(txn.second) -m found }
  acl endpoint_down res.hdr(X-Cf-Routererror) -m str endpoint_failure
  acl by_second_half srv_name -m str ${REPEAT_SERVER}
  # What the second half says is said, and stands in its log.
  http-response set-log-level silent if by_second_half
  http-response del-header ${OWN_STATUS} unless by_second_half
${answersOfSecondHalf('by_second_half')}  http-response set-var(txn.answered) bool(false) if by_second_half
  http-response set-var(txn.answered) bool(true) unless by_second_half || { status ${UNANSWERED} } endpoint_down
  # An app's word is not the router's.
  http-response del-header X-Cf-Routererror if { var(txn.answered) -m bool }
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status ${UNANSWERED} 502 503 504 } !{ var(txn.answered) -m found }
  http-after-response set-status 502 reason "Bad Gateway" if { status ${UNANSWERED} 503 } !{ var(txn.answered) -m found } !{ var(txn.second) -m found }
  http-after-response set-status ${UNANSWERED} reason "Unanswered" if { status 502 } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found } { var(txn.second) -m found }
  http-after-response set-status ${UNANSWERED} reason "Unanswered" if { status 503 } !{ var(txn.answered) -m found } { var(txn.second) -m found }
`;

/** In the backend of the platform's own hosts. */
export const CONTROL_ANSWERS = `  http-response set-var(txn.answered) bool(true)
  http-after-response set-status ${UNANSWERED} reason "Unanswered" if { status 502 } { var(txn.repeatable) -m bool } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found }
`;
