/**
 * What only the router may say to an app, and what belongs to one hop: it never comes through from a client. "*" stands for
 * any end. CGI, WSGI and PHP see "_" and "-" as one, so that each goes in both spellings. X-Forwarded-For is read before.
 *
 * Not in the list, as in Cloud Foundry's router: True-Client-IP, CF-Connecting-IP and the like. They are the word of whatever
 * stands in front of the platform, as the first entries of X-Forwarded-For are; an app that believes them knows its front.
 */
export const NOT_FROM_CLIENTS = [
  // the client's address, its certificate, and the address it asked for
  'forwarded',
  'x-forwarded-*',
  'x-real-ip',
  // Frameworks take the path of these before the one the route was chosen by.
  'x-original-url',
  'x-original-uri',
  'x-rewrite-url',
  // the request's identity and the instance's (gorouter sets the same)
  'x-vcap-request-id',
  'x-request-start',
  'x-cf-applicationid',
  'x-cf-instanceid',
  'x-cf-instanceindex',
  // what a router and a route service tell each other
  'x-cf-forwarded-url',
  'x-cf-proxy-signature',
  'x-cf-proxy-metadata',
  'x-cf-routererror',
  'x-cf-routeservice',
  // what the router tells itself
  'x-cupola-*',
  // one hop's
  'proxy', // CGI would make HTTP_PROXY of it
  'proxy-connection',
  'proxy-authorization',
  'keep-alive',
  'http2-settings',
] as const;

/** Content-Length and Transfer-Encoding go in their false spelling alone. */
const FALSE_SPELLINGS = ['content_length', 'transfer_encoding'];

/** The regular expression of a header's whole name, lower case; HAProxy compares without regard to case. */
export function notFromClients(): string {
  const names = NOT_FROM_CLIENTS.map((name) => name.replaceAll('-', '[-_]').replace('*', '.*'));
  return `^(${[...names, ...FALSE_SPELLINGS].join('|')})$`;
}

/** What the router's first half tells the second of a request: client with port, version, client, X-Forwarded-For. */
export const HOP_HEADER = 'X-Cupola-Hop';
