import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hierarchiesIn } from '../../src/cli/lanes/control-groups.ts';

/** Whether a group can get more of the processors than another: in version 2 where the root gives them to those below it. */
export function givesWeights(): boolean {
  return hierarchiesIn(readFileSync('/proc/self/mountinfo', 'utf8')).some(({ point, type }) => {
    if (type === 'cgroup') return existsSync(join(point, 'cpu.shares'));
    return /\bcpu\b/.test(readFileSync(join(point, 'cgroup.subtree_control'), 'utf8'));
  });
}
