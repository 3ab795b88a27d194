/**
 * Tests of security that no change of the code has been seen to break, as "file: title"; of a title that is put together, what
 * stands before its first value, and `…`. The list only gets shorter.
 */
export const UNTRIED: readonly string[] = [
  // Thirty-six pairs take ten minutes, and each is judged as the kills of one process are, which are tried.
  'test/long/fault-pairs.test.ts: SECURITY 37: any two of them are killed at once',
  // What holds it is in runc, which enters containers from a sealed copy of itself: no change here takes that away.
  'test/e2e/shared/hostile-neighbour.test.ts: SECURITY 31: a program of the host that enters the container cannot be overwritten from inside',
  // Taking a bound away lets a bomb loose on the machine where it is tried, and latencies say nothing on a busy one.
  'test/e2e/bombs.test.ts: SECURITY 32: a neighbour’s p99 stays within twice its quiet value under every bomb',
  // The router that keeps its routes and the converger that waits for heartbeats were each taken away: the other, and what
  // comes back first, hold it. Both are tried where they stand alone (router/routes.test.ts, diego/failures.test.ts).
  'test/e2e/machine-faults.test.ts: SECURITY 38: PostgreSQL is frozen for 30 s: apps are served, nothing is moved, then all is as it was',
  // It steps the machine's clock.
  'test/long/clock-steps.test.ts: SECURITY 38: the clock is set …',
  // Two layers: tar and unzip refuse it themselves, and what is outside is removed (tried in unit/cell/layer-files.test.ts).
  'test/integration/cell/garden-layers.test.ts: SECURITY 24: …',
  // What holds them is HAProxy's own: no line of what it is given refuses or rewrites it, or can tell it not to.
  'test/integration/router/http2-downgrade.test.ts: SECURITY-TESTS 5: a CONTINUATION flood ends the connection',
  'test/integration/router/http2-downgrade.test.ts: SECURITY-TESTS 5: a rapid-reset flood costs no other client',
  'test/integration/router/http2-downgrade.test.ts: SECURITY-TESTS 1: a body without a length is chunked to the app',
  'test/integration/router/http2-downgrade.test.ts: SECURITY-TESTS 1: trailers that claim a length or a path end the request',
  'test/integration/router/smuggling.test.ts: SECURITY-TESTS 1: CL.TE: the length goes, and what follows the chunks is never read',
  'test/integration/router/smuggling.test.ts: SECURITY-TESTS 1: a GET with a body has it as body',
  'test/integration/router/smuggling.test.ts: SECURITY-TESTS 1: an encoding besides chunked',
  'test/integration/router/smuggling.test.ts: SECURITY-TESTS 1: chunk extensions go, trailers stay trailers',
  'test/integration/router/smuggling.test.ts: SECURITY-TESTS 1: folded lines become one line, bare LF becomes CRLF',
];
