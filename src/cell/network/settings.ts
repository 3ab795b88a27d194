export interface NetworkSettings {
  /** Overlay range of this cell, e.g. "10.255.1.0/24". */
  range: string;
  /** Link-local address of every container's gateway and name server, e.g. "169.254.1.1". */
  gateway: string;
  mtu: number;
  /** Addresses and TCP ports of the host that containers may reach besides the name server. None by default. */
  hostServices?: readonly { address: string; port: number }[];
  /** Where changes to the host's network are noted for all cells of the machine. Default /run/cupola-network. */
  hostStateDirectory?: string;
}
