import { transitSeconds } from '../kit/haproxy.ts';
import { type RouterSettings, tlsSocketOf } from './settings.ts';
import { clientConnections, connectionShares, countSpoken } from './shares.ts';

/**
 * The front of the HTTPS port where SSH is to come in there too: the first bytes of a connection tell which it is
 * (RFC 4253 section 4.2: "SSH-"; RFC 8446 section 5.1: a handshake record). Both sides of SSH speak at once, so that silence
 * is neither; it ends with the delay. `listeners`: where it listens, in HAProxy's words.
 */
export function firstBytes(settings: RouterSettings, ssh: { socket: string }, listeners: readonly string[]): string {
  const transit = transitSeconds(settings.idle);
  return `defaults bytes
  mode tcp
  timeout connect 5s
  timeout client ${transit}s
  timeout server ${transit}s
  timeout tunnel ${transit}s
  timeout client-fin 30s
  timeout server-fin 30s
  option splice-auto

frontend first-bytes from bytes
  maxconn ${clientConnections(settings)}
${listeners.map((at) => `  bind ${at}\n`).join('')}  tcp-request inspect-delay 10s
${connectionShares(settings)}  tcp-request content accept if { req.payload(0,1) -m bin 16 }
${countSpoken('content', ' if { req.payload(0,4) -m str SSH- }')}  tcp-request content accept if { req.payload(0,4) -m str SSH- }
  tcp-request content reject if { req.len ge 4 } || WAIT_END
  use_backend ssh if { req.payload(0,4) -m str SSH- }
  default_backend tls

backend tls from bytes
  server tls unix@${tlsSocketOf(settings)} send-proxy-v2

backend ssh from bytes
  server ssh unix@${ssh.socket} send-proxy-v2

`;
}
