/**
 * Above it a request's headers are refused with 431, its address with 414 and an answer's with 502. HAProxy's buffer leaves room for more, so that
 * it can answer: what does not fit it at all ends with 400, or with the connection in HTTP/2.
 */
export const MAX_HEADER_BYTES = 49_152;
/**
 * Parts of all connections that one client may hold, so that it cannot keep every other out. A client is an IPv4 address or an
 * IPv6 /64, which is what one subscriber is given. A container has a smaller share, and all of them together have one: whoever
 * has many containers, or moves between them, does not get more. `unspoken`: a client's connections of which nothing is known yet,
 * since they are silent or their TLS is not up, where half of all are taken.
 */
export const SHARES = { client: 0.3, unspoken: 0.15, container: 0.05, containers: 0.3 };

/**
 * Requests that control, or another process that serves system hosts, is given at a time, each on a connection with a handshake of its own; of these a client has
 * its share (60) too. Beyond them a request waits, and a client beyond its share is told to come again.
 */
export const CONTROL_REQUESTS = 200;

/** Bodies of the router's own answers, in HAProxy's words: nobody answered, or not in time. */
export const ENDPOINT_FAILED = '"502 Bad Gateway: Registered endpoint failed to handle the request.\\n"';
export const ENDPOINT_SILENT = '"504 Gateway Timeout: Registered endpoint did not answer in time.\\n"';
