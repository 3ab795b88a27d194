import { type Static, Type } from 'typebox';
import { parseEgressRule } from '../../contracts/egress-rule.ts';
import { unprocessable } from '../errors.ts';

/** A rule as the v3 API states it. What no rule allows is dropped. */
export const RuleInput = Type.Object(
  {
    protocol: Type.Enum(['tcp', 'udp', 'icmp', 'all']),
    destination: Type.String({ minLength: 1, maxLength: 250_000 }),
    ports: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    type: Type.Optional(Type.Integer({ minimum: -1, maximum: 255, exact: true })),
    code: Type.Optional(Type.Integer({ minimum: -1, maximum: 255, exact: true })),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    log: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type Rule = Static<typeof RuleInput>;

/** What a schema cannot say of rules. Throws UnprocessableEntity naming each rule by its index. */
export function checkRules(rules: readonly Rule[]): void {
  const problems = rules.flatMap((rule, index) => {
    const reading = parseEgressRule(rule);
    return 'problems' in reading ? reading.problems.map((text) => `Rules[${index}]: ${text}`) : [];
  });
  if (problems.length > 0) throw unprocessable(problems.slice(0, 20).join(', '));
}
