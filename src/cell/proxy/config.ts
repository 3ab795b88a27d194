import { transitSeconds, UNANSWERED } from '../../kit/haproxy.ts';
import { CIPHER_SUITES_TLS12, CIPHER_SUITES_TLS13 } from '../../kit/tls.ts';
import { type CellProxySettings, certificateListOf, targetsMapOf, unreachableSocketOf } from './settings.ts';

/**
 * HAProxy's configuration as the cell's TLS terminator, in TCP mode: the certificate by SNI (the instance's GUID), the router's
 * client certificate required (RTR-05, TLS-07), the container by a map. It may start without any instance, needs no root, and
 * speaks whatever the app speaks: the bytes are not looked at. `inherited`: the descriptor of its listener, where it is started
 * with one.
 */
export function renderCellProxyConfig(settings: CellProxySettings, inherited?: number): string {
  const listener = inherited === undefined ? `${settings.bindAddress}:${settings.port}` : `fd@${inherited}`;
  const transit = transitSeconds(settings.idle);
  return `global
  nbthread ${settings.threads}
  maxconn ${settings.maxConnections}
  stats socket ${settings.socket} mode 600 level admin expose-fd listeners
  stats timeout 60s
  hard-stop-after 15m
  tune.ssl.cachesize 20000
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-bind-ciphers ${CIPHER_SUITES_TLS12.join(':')}
  ssl-default-bind-ciphersuites ${CIPHER_SUITES_TLS13.join(':')}

defaults tcp
  mode tcp
  timeout connect 5s
  # The router judges who is silent: this only passes on.
  timeout client ${transit}s
  timeout server ${transit}s
  timeout tunnel ${transit}s
  # A websocket that one side closed must not stay.
  timeout client-fin 30s
  timeout server-fin 30s

frontend cell from tcp
  # strict-sni: a name that is no instance here gets no certificate, so the handshake fails.
  bind ${listener} ssl crt-list ${certificateListOf(settings)} strict-sni ca-file ${settings.routerCa} verify required
  tcp-request content reject unless { ssl_c_s_dn(cn) -m str ${settings.routerName ?? 'router'} }
  tcp-request content set-var(sess.target) ssl_fc_sni,lower,map_str(${targetsMapOf(settings)})
  tcp-request content reject if !{ var(sess.target) -m found }
  tcp-request content set-dst var(sess.target),field(1,|)
  tcp-request content set-dst-port var(sess.target),field(2,|)
  default_backend container

# Where nobody listens at the container, the request has not been sent to anybody: the connection goes on to "unreachable",
# which answers in its place. A connection that just ended would leave HTTP/2 clients of the router without any answer.
backend container from tcp
  retries 1
  option redispatch 1
  use-server container if TRUE
  server container 0.0.0.0:0 weight 0
  # Twice, since before it goes on to the only other server, HAProxy waits a second.
  server unreachable-1 unix@${unreachableSocketOf(settings)}
  server unreachable-2 unix@${unreachableSocketOf(settings)}

# Nothing was begun here: the router tries another instance where one is there.
frontend unreachable
  mode http
  bind unix@${unreachableSocketOf(settings)} mode 600
  timeout client 30s
  timeout http-request 5s
  option httpclose
  http-request return status ${UNANSWERED} content-type text/plain hdr X-Cf-Routererror endpoint_failure string "502 Bad Gateway: Registered endpoint failed to handle the request.\\n"
`;
}
