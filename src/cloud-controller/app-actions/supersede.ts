import type { App } from '../apps/store.ts';
import { keepServing } from '../processes/outgoing.ts';
import { deleteProcess, findProcess, resizeProcess } from '../processes/store.ts';
import type { Counted } from '../quotas/within.ts';
import { lockActiveDeployments, setSuperseded } from './store.ts';

/**
 * A deployment under way ends when its app is started or stopped by hand or deployed again: the newer process stays, or the
 * older one where the newer is a canary that nobody promoted, or was cancelled.
 */
export async function supersedeDeployments(trx: Counted, app: App): Promise<void> {
  for (const { strategy, promoted, ...deployment } of await lockActiveDeployments(trx, app.guid)) {
    await setSuperseded(trx, deployment.guid);
    const isTrial = deployment.status_reason === 'CANCELING' || (strategy === 'canary' && !promoted);
    const [leaves, stays] = isTrial
      ? [deployment.new_process_guid, deployment.old_process_guid]
      : [deployment.old_process_guid, deployment.new_process_guid];
    const leaving = await findProcess(trx, leaves);
    if (leaving?.state === 'STARTED') await keepServing(trx, app, leaving, stays);
    await deleteProcess(trx, leaves);
    const instances = isTrial
      ? deployment.original_instances
      : (deployment.web_instances ?? deployment.original_instances);
    if (await findProcess(trx, stays)) await resizeProcess(trx, stays, { instances });
  }
}
