import type { RouteServer } from './route-table.ts';
import { instancesMapOf, type RouterSettings } from './settings.ts';

/** After the first attempt. A GET finds one instance that listens among three that do not. */
const REPEATS = 3;
/** Between the router's halves: 425 is a request that may be repeated, and this an app's own 425. */
const TOO_EARLY = 599;
const OWN_STATUS = 'X-Cupola-Status';
/** In the place of the reason, in the access log: the status above was the app's 425. */
export const OWN_425 = 'own_425';

/*
 * The first half of the router sends what nobody answered again, the second chooses where. Which attempt it is the second knows from a
 * table of request identities, for HAProxy sends the same bytes again: a first attempt goes where the balance leads; each later one to
 * the next of the instances in order, from a place that is the request's own, so that none is asked in vain twice.
 */

/** In the first half's backend: what is repeated, and what becomes of what was not answered. */
export const REPEATING = `  retries ${REPEATS}
  retry-on conn-failure 425
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }
  http-response set-status 502 reason "Bad Gateway" if { status 425 }
  http-response set-status 425 reason "Too Early" if { status ${TOO_EARLY} } { res.hdr(${OWN_STATUS}) -m found }
  http-response del-header ${OWN_STATUS}
`;

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
`;

/** In the second half: the instance of a repeat. `unless`: where another rule has chosen it. */
export function chooseAgain(settings: RouterSettings, unless: string): string {
  const entry = `var(txn.key),map_str(${instancesMapOf(settings)})`;
  return `  http-request set-var-fmt(txn.key) "%[var(txn.be)]/instances" if { var(txn.repeated) -m bool } ${unless}
  http-request set-var(txn.count) ${entry} if { var(txn.repeated) -m bool } ${unless}
  http-request set-var(txn.attempt) sc2_http_req_cnt(attempts) if { var(txn.count) -m found }
  http-request set-var(txn.at) req.fhdr(x-vcap-request-id),crc32,add(txn.attempt),mod(txn.count) if { var(txn.count) -m found }
  http-request set-var-fmt(txn.key) "%[var(txn.be)]/%[var(txn.at)]" if { var(txn.count) -m found }
  http-request set-var(txn.srv) ${entry} if { var(txn.count) -m found }
`;
}

/** What the map of instances holds for it: how many a backend has, and each by its number. */
export function* repeatEntries(backend: string, servers: readonly RouteServer[]): Generator<[string, string]> {
  yield [`${backend}/instances`, `${servers.length}`];
  for (const [at, { instanceGuid }] of servers.entries()) yield [`${backend}/${at}`, instanceGuid];
}

/** In the second half's front: an app's own 425 is no request to repeat. After the backends' rules. */
export const OWN_ANSWERS = `  http-after-response del-header ${OWN_STATUS}
  http-after-response set-header ${OWN_STATUS} 425 if { status 425 } { var(txn.answered) -m bool }
  http-after-response set-var(txn.routererror) str(${OWN_425}) if { res.hdr(${OWN_STATUS}) -m found }
  http-after-response set-status ${TOO_EARLY} reason "Too Early" if { res.hdr(${OWN_STATUS}) -m found }
`;

/**
 * In a backend with instances. The cell proxy says 425 where nobody listens at the instance (see there), and HAProxy 503 where no
 * cell proxy does: nothing has begun. After 502 the app may have seen the request: it is repeated once.
 */
export const POOL_ANSWERS = `  acl endpoint_down res.hdr(X-Cf-Routererror) -m str endpoint_failure
  http-response set-var(txn.answered) bool(true) unless { status 425 } endpoint_down
  # An app's word is not the router's.
  http-response del-header X-Cf-Routererror if { var(txn.answered) -m found }
  http-after-response set-header X-Cf-Routererror endpoint_failure if { status 425 502 503 504 } !{ var(txn.answered) -m found }
  http-after-response set-status 425 reason "Unanswered" if { status 502 } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found }
  http-after-response set-status 425 reason "Unanswered" if { status 503 } !{ var(txn.answered) -m found }
`;

/** In the backend of the platform's own hosts. */
export const CONTROL_ANSWERS = `  http-response set-var(txn.answered) bool(true)
  http-after-response set-status 425 reason "Unanswered" if { status 502 } { var(txn.repeatable) -m bool } !{ var(txn.answered) -m found } !{ var(txn.repeated) -m found }
`;
