/*
 * HAProxy refuses by itself what a server behind could read as something else than the router did (SECURITY-TESTS 1), with 400 and the end
 * of the connection: names of headers that are none, other versions and protocols, fragments, bytes beyond ASCII in an address of
 * HTTP/1.1. HTTP/2 has such bytes in addresses, of which UTF-8 is let through.
 */

const BAD_REQUEST =
  'http-request return status 400 content-type text/plain hdr Connection close string "400 Bad Request\\n"';
/** RFC 3629: no surrogates, nothing longer than need be. */
const UTF8 = String.raw`^(?:[\x21-\x7e]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*+$`;

/** In the public front, ahead of all that reads a request. */
export const ONLY_UTF8 = `  ${BAD_REQUEST} if { url -m reg '[^\\x21-\\x7e]' } !{ url -m reg '${UTF8}' }
`;
