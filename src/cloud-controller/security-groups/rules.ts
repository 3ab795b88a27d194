import { BlockList, isIPv4 } from 'node:net';
import { type Static, Type } from 'typebox';
import { unprocessable } from '../errors.ts';

/** A rule as the v3 API states it. What no rule allows is dropped. */
export const RuleInput = Type.Object(
  {
    protocol: Type.Enum(['tcp', 'udp', 'icmp', 'all']),
    destination: Type.String({ minLength: 1, maxLength: 250_000 }),
    ports: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    type: Type.Optional(Type.Integer({ minimum: -1, maximum: 255 })),
    code: Type.Optional(Type.Integer({ minimum: -1, maximum: 255 })),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    log: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type Rule = Static<typeof RuleInput>;

const MAX_DESTINATIONS = 6000;

/** What a schema cannot say of rules. Throws UnprocessableEntity naming each rule by its index. */
export function checkRules(rules: readonly Rule[]): void {
  const problems = rules.flatMap((rule, index) =>
    [destinationProblem(rule), portProblem(rule)]
      .filter((problem) => problem !== null)
      .map((text) => `Rules[${index}]: ${text}`),
  );
  if (problems.length > 0) throw unprocessable(problems.slice(0, 20).join(', '));
}

function destinationProblem(rule: Rule): string | null {
  if (/\s/.test(rule.destination)) return 'destination must not contain whitespace';
  const destinations = rule.destination.split(',');
  if (destinations.length > MAX_DESTINATIONS) {
    return `maximum destinations per rule exceeded - must be under ${MAX_DESTINATIONS}`;
  }
  for (const destination of destinations) {
    if (!isDestination(destination)) {
      return 'destination must contain valid CIDR(s), IP address(es), or IP address range(s)';
    }
  }
  return null;
}

/** An IPv4 address, CIDR or range "a-b" with a not past b. */
function isDestination(text: string): boolean {
  const [first = '', last, ...more] = text.split('-');
  if (more.length > 0) return false;
  if (last !== undefined) return isIPv4(first) && isIPv4(last) && isOrdered(first, last);
  const [address = '', prefix, ...rest] = first.split('/');
  return (
    rest.length === 0 && isIPv4(address) && (prefix === undefined || (/^\d{1,2}$/.test(prefix) && Number(prefix) <= 32))
  );
}

function isOrdered(first: string, last: string): boolean {
  try {
    new BlockList().addRange(first, last);
    return true;
  } catch {
    return false;
  }
}

function portProblem(rule: Rule): string | null {
  if (rule.protocol === 'tcp' || rule.protocol === 'udp') {
    if (rule.ports === undefined) return 'ports are required for protocols of type TCP and UDP';
    if (!isPorts(rule.ports)) {
      return 'ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string';
    }
    return null;
  }
  if (rule.ports !== undefined) return `ports are not allowed for protocols of type ${rule.protocol}`;
  if (rule.protocol === 'icmp') {
    if (rule.code === undefined) return 'code is required for protocols of type ICMP';
    if (rule.type === undefined) return 'type is required for protocols of type ICMP';
  }
  return null;
}

function isPorts(text: string): boolean {
  return text.split(',').every((part) => {
    const [, first, last] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
    if (first === undefined) return false;
    const from = Number(first);
    const to = Number(last ?? first);
    return from >= 1 && to <= 65_535 && from <= to;
  });
}
