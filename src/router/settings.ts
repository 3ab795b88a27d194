import type { IdleTimes } from '../kit/haproxy.ts';
import { CIPHER_SUITES_TLS12, CIPHER_SUITES_TLS13 } from '../kit/tls.ts';

/** The accepted protocol and suites of the public listener; exactly these are offered (TLS-06, RTR-07). */
export interface RouterTls {
  minimumVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL names, TLS 1.2. */
  ciphers: readonly string[];
  /** TLS 1.3 names. */
  cipherSuites: readonly string[];
}

/** TLS 1.2 or newer and the platform's short list, without configuration (TLS-04, TLS-05). */
export const DEFAULT_ROUTER_TLS: RouterTls = {
  minimumVersion: 'TLSv1.2',
  ciphers: CIPHER_SUITES_TLS12,
  cipherSuites: CIPHER_SUITES_TLS13,
};

/** What the supervisor, which starts HAProxy, and control, which drives it, both know of one router. Paths are absolute. */
export interface RouterSettings {
  /** Written before HAProxy starts and read by it: configuration and maps. Its account reads, only the supervisor writes. */
  runDirectory: string;
  /** Control's: the routes it wants, as data. HAProxy never reads it. */
  stateDirectory: string;
  /** IP addresses; each listens on the same ports. */
  bindAddresses: readonly string[];
  httpsPort: number;
  /** Plain HTTP for apps; without it nothing listens in the clear. */
  httpPort?: number;
  certificates: {
    /** The wildcard certificate with its chain and key, one PEM file. */
    front: string;
    /** The router's client certificate (common name `router`) with its key, one PEM file. */
    client: string;
    /** The root instances prove themselves under. */
    instanceCa: string;
    /** The root of control's certificate. */
    platformCa: string;
  };
  /**
   * Where SSH clients that come to the HTTPS port are led: the ssh-proxy's Unix socket, where each connection begins with a PROXY
   * protocol header (version 2). It is believed, so that only HAProxy's account may connect. Without it the port takes TLS alone.
   */
  ssh?: { socket: string };
  /** Control's listener for the system hosts; its certificate must carry the name `control`. */
  control: { address: string; port: number };
  /** Processes that serve some of the system hosts in control's place; each certificate must carry the process's name. */
  apart?: readonly { name: string; address: string; port: number; hosts: readonly string[] }[];
  /** `api.<domain>` and so on: they lead to control and no app can have them. */
  systemHosts: readonly string[];
  /** How many different sets of apps can have routes at a time. 2,000 cost 32 MB. */
  poolSize: number;
  /** Where containers come from, as an IPv4 range (`10.1.0.0/16`): they have shares of their own of the connections. */
  containers?: string;
  /**
   * Apps may ask for HTTP/2. Off, no byte of an app is read as HTTP/2 by a process that is every app's and the API's.
   */
  http2Apps: boolean;
  threads: number;
  maxConnections: number;
  /** `IDLE` unless told. */
  idle?: IdleTimes;
  tls?: RouterTls;
  sockets: {
    /** For the supervisor: hands over listening sockets when HAProxy is replaced. */
    admin: string;
    /** For control: changes servers and maps. */
    driver: string;
    /** Group that may use the driver's socket. HAProxy's account must be in it, or the directory be set-group-id. */
    driverGroup?: string;
  };
}

/** The map of `routeEntries`. */
export function routesMapOf(settings: Pick<RouterSettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/routes.map`;
}

/** The map of `instanceEntries`. */
export function instancesMapOf(settings: Pick<RouterSettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/instances.map`;
}

/** Where the front that tells SSH from TLS hands TLS on; HAProxy's account alone may connect. */
export function tlsSocketOf(settings: Pick<RouterSettings, 'sockets'>): string {
  return settings.sockets.driver.replace(/[^/]*$/, 'tls.sock');
}

/**
 * Where the supervisor asks as clients do, and is counted with none of them; HAProxy's account alone (and root) may connect. It speaks
 * TLS, as the public listeners do.
 */
export function healthSocketOf(settings: Pick<RouterSettings, 'sockets'>): string {
  return settings.sockets.driver.replace(/[^/]*$/, 'health.sock');
}

/** Between the router's halves; HAProxy's account alone may connect. */
export function oneRequestSocketOf(settings: Pick<RouterSettings, 'sockets'>): string {
  return settings.sockets.driver.replace(/[^/]*$/, 'one-request.sock');
}

/** Where the second half takes what is repeated, with the client's address; HAProxy's account alone may connect. */
export function repeatSocketOf(settings: Pick<RouterSettings, 'sockets'>): string {
  return settings.sockets.driver.replace(/[^/]*$/, 'repeat.sock');
}

/** The server of a backend that leads to the second half; no instance can have this name. */
export const REPEAT_SERVER = '_again';

/** Where HAProxy keeps the access log for control. */
export const ACCESS_RING = 'access';

/** The value of a route that has no running instance. */
export const NO_ENDPOINTS = 'none';

/** A slot of the pool, by number, as HAProxy's backend. */
export function backendName(slot: number): string {
  return `be-${String(slot).padStart(5, '0')}`;
}

/** A public listener of the router. */
export interface RouterListener {
  address: string;
  port: number;
  tls: boolean;
}

/** In the order in which their sockets are inherited, where HAProxy is started with them. */
export function routerListeners(
  settings: Pick<RouterSettings, 'bindAddresses' | 'httpsPort' | 'httpPort'>,
): RouterListener[] {
  const { bindAddresses, httpsPort, httpPort } = settings;
  return [
    ...bindAddresses.map((address) => ({ address, port: httpsPort, tls: true })),
    ...(httpPort === undefined ? [] : bindAddresses.map((address) => ({ address, port: httpPort, tls: false }))),
  ];
}
