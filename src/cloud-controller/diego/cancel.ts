import type { Task } from '../../contracts/gen/diego_pb.js';
import type { Logger } from '../../kit/log.ts';
import { attemptEach } from '../../kit/reconcile.ts';
import type { BbsClient } from './sync.ts';

/** Cancels tasks that nobody wants any more. Gives whether Diego took it of all of them. */
export function cancelTasks(bbs: BbsClient, tasks: readonly Task[], log: Logger): Promise<boolean> {
  const steps = tasks.map(({ taskGuid }) => [`cancel task ${taskGuid}`, () => bbs.cancelTask({ taskGuid })] as const);
  return attemptEach(Object.fromEntries(steps), log);
}
