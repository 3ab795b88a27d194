import type { IdleTimes } from '../../kit/haproxy.ts';

/** What the supervisor, which starts the cell's HAProxy, and the cell, which drives it, both know. Paths are absolute. */
export interface CellProxySettings {
  /** The cell's (root): configuration, list of certificates, map of targets, certificates. HAProxy's account reads it. */
  runDirectory: string;
  bindAddress: string;
  /** The one TLS port of the cell; the instance is chosen by SNI. */
  port: number;
  /** The root of the router's client certificate. */
  routerCa: string;
  /** Common name the client's certificate must carry. */
  routerName?: string;
  threads: number;
  maxConnections: number;
  /** `IDLE` unless told. */
  idle?: IdleTimes;
  /** Stats socket; mode 600, so HAProxy's account and root can use it. */
  socket: string;
  /** HAProxy's account: it alone reads the keys. Without it the files stay the caller's. */
  account?: { uid: number; gid: number };
}

/** Names the certificates that HAProxy starts with. */
export function certificateListOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/certificates.list`;
}

/** Leads from an instance to the address and port of its container. */
export function targetsMapOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/targets.map`;
}

/** Of the instances' certificates with their keys. */
export function certificateDirectoryOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/certificates`;
}

/** Certificate chain and key of one instance, PEM. */
export function certificateFileOf(settings: Pick<CellProxySettings, 'runDirectory'>, instanceGuid: string): string {
  return `${certificateDirectoryOf(settings)}/${instanceGuid}.pem`;
}

/** Where HAProxy answers for instances that cannot be reached; its own account alone may connect. */
export function unreachableSocketOf(settings: Pick<CellProxySettings, 'socket'>): string {
  return settings.socket.replace(/[^/]*$/, 'unreachable.sock');
}
