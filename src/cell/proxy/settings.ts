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
  /** Stats socket; mode 600, so HAProxy's account and root can use it. */
  socket: string;
  /** HAProxy's account: it alone reads the keys. Without it the files stay the caller's. */
  account?: { uid: number; gid: number };
}

export function certificateListOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/certificates.list`;
}

export function targetsMapOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/targets.map`;
}

export function certificateDirectoryOf(settings: Pick<CellProxySettings, 'runDirectory'>): string {
  return `${settings.runDirectory}/certificates`;
}

export function certificateFileOf(settings: Pick<CellProxySettings, 'runDirectory'>, instanceGuid: string): string {
  return `${certificateDirectoryOf(settings)}/${instanceGuid}.pem`;
}
