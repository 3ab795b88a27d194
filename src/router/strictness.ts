/*
 * Old clients send names in UTF-8 as they are, and Cloud Foundry's router hands them on. HAProxy takes a byte beyond ASCII in an address
 * only with an option that lets other things through as well: names of headers that are none, versions of other protocols, fragments,
 * a CONNECT to anything, and an absolute form whose host is not that of the Host header. A server behind may read each of them as
 * something else than the router did (SECURITY-TESTS 1), so that they are refused here, with the answer and the end of the connection
 * that HAProxy gives without it.
 */

/** In the public front. */
export const RAW_UTF8 = `  option accept-invalid-http-request
`;

/** Where the two readings may differ in what the body is, nothing after it is read. */
const BAD_REQUEST =
  'http-request return status 400 content-type text/plain hdr Connection close string "400 Bad Request\\n"';
/** What is no letter of a token (RFC 9110, 5.6.2). */
const NO_TOKEN = String.raw`[^-!#$%&\x27*+.^_\x60|~0-9A-Za-z]`;
/** RFC 3629: no surrogates, nothing longer than need be. */
const UTF8 = String.raw`^(?:[\x21-\x7e]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*+$`;

/** In the public front, ahead of all that reads a request. */
export const AS_STRICT = `  ${BAD_REQUEST} if { req.hdr_names(-) -m reg '${NO_TOKEN}' }
  http-request set-var-fmt(txn.protocol) "%HV"
  ${BAD_REQUEST} unless { var(txn.protocol) -m reg ^HTTP/[0-9]\\.[0-9]$ }
  ${BAD_REQUEST} if { url -m sub '#' }
  ${BAD_REQUEST} if { url -m reg '[^\\x21-\\x7e]' } !{ url -m reg '${UTF8}' }
  # The host of an absolute form: what stands between the slashes and the next one, without a user.
  http-request set-var(txn.authority) req.fhdr(host),lower if { url_beg -i http:// https:// } { fc_http_major 1 }
  ${BAD_REQUEST} if { var(txn.authority) -m found } !{ url,field(3,/),field(1,?),field(-1,@),lower,strcmp(txn.authority) eq 0 }
`;
