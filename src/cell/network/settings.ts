export interface NetworkSettings {
  /** Overlay range of this cell, e.g. "10.255.1.0/24". */
  range: string;
  /** Link-local address of every container's gateway and name server, e.g. "169.254.1.1". */
  gateway: string;
  mtu: number;
  /** Of all cells, e.g. "10.255.0.0/16"; by default `range`. What leaves it is masqueraded, what stays in it needs a policy. */
  overlay?: string;
  /** How the links of all cells of this machine begin; by default this cell's own prefix. */
  machinePrefix?: string;
  /**
   * Where containers reach public routes: an address of this machine at which the router listens. Which containers may,
   * their egress rules decide; other ports of it are nobody's.
   */
  router?: { address: string; ports: readonly number[] };
  /** This cell's own address, where it stands on `lo`: only this machine itself may reach it. */
  cellAddress?: string;
  /** Addresses and TCP ports of the host that containers may reach besides the name server. None by default. */
  hostServices?: readonly { address: string; port: number }[];
  /**
   * Accounts of this machine that may connect to containers besides root, which probes their health: the proxy's. To all others
   * an app is where its routes lead.
   */
  callers?: readonly number[];
  /** Where changes to the host's network are noted for all cells of the machine. Default /run/cupola-network. */
  hostStateDirectory?: string;
}
