import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import type { Rule } from '../security-groups/rules.ts';
import { egressRulesOf, type Phase } from '../security-groups/store.ts';
import type { RecipeEgressRule } from './recipe.ts';

/** The egress rules of containers in a space, remembered for one run so that a space is asked for once. */
export function egressRules(db: Db, phase: Phase): (spaceGuid: Guid<'space'>) => Promise<RecipeEgressRule[]> {
  const known = new Map<string, Promise<RecipeEgressRule[]>>();
  return (spaceGuid) => {
    const rules = known.get(spaceGuid) ?? egressRulesOf(db, spaceGuid, phase).then((found) => found.map(plain));
    known.set(spaceGuid, rules);
    return rules;
  };
}

function plain(rule: Rule): RecipeEgressRule {
  const { protocol, destination, ports = '', type = 0, code = 0, log = false } = rule;
  return { protocol, destination, ports, type, code, log };
}
