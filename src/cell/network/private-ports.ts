/**
 * A TCP port of this machine that some of its accounts reach, by number, and root; a connection of any other is reset before its
 * listener sees it.
 */
export interface PrivatePort {
  /** IPv4. */
  address: string;
  port: number;
  accounts: readonly number[];
}

const PORTS = 'private_ports';
const CALLERS = 'private_port_callers';
const ROOT = 0;

/**
 * Sets and rules of a table that hold for all that `closePorts` adds. Only what opens a connection is judged, so that one that is
 * open stays whatever happens to the rules, and nobody's connections need to be tracked for it. A packet of which the kernel does
 * not know the account is nobody's.
 */
export function privatePortRules(table: string): string {
  return `
add set ${table} ${PORTS} { type ipv4_addr . inet_service; }
add set ${table} ${CALLERS} { type ipv4_addr . inet_service . uid; }
add chain ${table} private_port
add chain ${table} output { type filter hook output priority filter; policy accept; }
flush chain ${table} private_port
flush chain ${table} output
add rule ${table} private_port ip daddr . tcp dport . meta skuid @${CALLERS} accept
add rule ${table} private_port reject with tcp reset
add rule ${table} output tcp flags & (fin | syn | rst | ack) == syn ip daddr . tcp dport @${PORTS} goto private_port
`;
}

/** Closes them to all others. Twice is once. */
export function closePorts(table: string, ports: readonly PrivatePort[]): string {
  return elements(ports)
    .map(([set, element]) => `add element ${table} ${set} { ${element} }\n`)
    .join('');
}

/** Anybody's again. Fine where they were. */
export function openPorts(table: string, ports: readonly PrivatePort[]): string {
  const closed = elements(ports).map(([set, element]) => `delete element ${table} ${set} { ${element} }\n`);
  return closed.length === 0 ? '' : privatePortRules(table) + closePorts(table, ports) + closed.join('');
}

function elements(ports: readonly PrivatePort[]): (readonly [string, string])[] {
  return ports.flatMap(({ address, port, accounts }) => [
    [PORTS, `${address} . ${port}`] as const,
    ...[...new Set([ROOT, ...accounts])].map((account) => [CALLERS, `${address} . ${port} . ${account}`] as const),
  ]);
}

/** As a note of the machine keeps them; nothing where it says nothing that can be read. */
export function parsePorts(text: string): PrivatePort[] {
  try {
    const listed: unknown = JSON.parse(text);
    return Array.isArray(listed) ? listed.filter(isPrivatePort) : [];
  } catch {
    return []; // of an address that closes no port
  }
}

function isPrivatePort(value: unknown): value is PrivatePort {
  if (typeof value !== 'object' || value === null) return false;
  if (!('address' in value && 'port' in value && 'accounts' in value)) return false;
  const { address, port, accounts } = value;
  return (
    typeof address === 'string' && Number.isInteger(port) && Array.isArray(accounts) && accounts.every(Number.isInteger)
  );
}
