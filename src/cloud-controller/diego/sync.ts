import { type Client, Code, ConnectError } from '@connectrpc/connect';
import type { Bbs, DesiredLrp, Owner } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { processGuidOf } from '../processes/lrp-guid.ts';
import { annotationOf, renewalIn } from './annotation.ts';
import type { AppNames } from './environment.ts';
import { desiredLrp, type ProcessRecipe, type RecipeEgressRule, type RecipeRoute } from './recipe.ts';
import { type Apps, isAmong } from './within.ts';

export type BbsClient = Client<typeof Bbs>;

/** What ought to be desired for one started process: all the BBS can be compared by. */
export interface WantedLrp {
  /** What the BBS calls `processGuid`: "<process guid>-<version>". */
  lrpGuid: string;
  /** The v3 process's: the same for all its versions. */
  processGuid: string;
  appGuid: string;
  instances: number;
  routes: readonly RecipeRoute[];
  egressRules: readonly RecipeEgressRule[];
  /** Another one where routes or rules are: it stands for them in the BBS's annotation. */
  network: string;
  /** What the tags of its lines and metrics say; not its environment, which is made when it starts. */
  names: AppNames;
  /** It serves until its successor does: it is kept as it is, and not desired again where Diego has it no longer. */
  outgoing?: true;
  /** When this changes the LRP is desired again under the same guid, with newly signed URLs; its instances go on. */
  renewal: string;
  /** The rest, with environment and signed URLs: made when it is sent. Null while it cannot run (no droplet). */
  recipe(): Promise<Omit<ProcessRecipe, 'annotation' | 'routes' | 'egressRules' | 'instances'> | null>;
}

export interface SyncResult {
  desired: number;
  updated: number;
  removed: number;
  /** The apps of which something failed. */
  failed: Set<string>;
}

/**
 * Makes the BBS desire what the database says (DGO-01): every started process of these apps and nothing else. Each difference is one
 * call, and each may be repeated; a failing one leaves the others be and is tried again by the next run. A new version is
 * desired before the old one is removed.
 */
export async function syncDesiredLrps(
  bbs: BbsClient,
  apps: Apps,
  readWanted: () => Promise<readonly WantedLrp[]>,
  log: Logger,
): Promise<SyncResult> {
  const result: SyncResult = { desired: 0, updated: 0, removed: 0, failed: new Set() };
  const attempt = async (what: string, lrpGuid: string, app: string, body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } catch (error) {
      result.failed.add(app);
      log.warn('Diego did not take a change; it is tried again', { what, lrpGuid, error: messageOf(error) });
    }
  };
  const present = new Map<string, DesiredLrp>();
  const { desiredLrps } = await bbs.desiredLrps('guids' in apps ? { appGuids: [...apps.guids] } : apps);
  // Whatever a BBS answers: what is not of these apps is not among the wanted either, and would be removed.
  for (const lrp of desiredLrps) if (isAmong(lrp.owner?.appGuid ?? '', apps)) present.set(lrp.processGuid, lrp);
  // Read after the BBS: what another process desired meanwhile is then in both, and never taken for a left-over.
  const wanted = await readWanted();
  const keep = new Set<string>();
  /** Processes whose newest version is not taken yet. */
  const waiting = new Set<string>();
  for (const lrp of wanted) {
    const { lrpGuid } = lrp;
    keep.add(lrpGuid);
    const existing = present.get(lrpGuid);
    if (lrp.outgoing && !existing) continue;
    const known = existing && renewalIn(existing.annotation);
    const renewal = lrp.outgoing && known !== undefined ? known : lrp.renewal;
    const annotation = annotationOf(lrp.network, renewal);
    if (existing === undefined || known !== renewal) {
      await attempt('desire', lrpGuid, lrp.appGuid, async () => {
        waiting.add(lrp.processGuid);
        const recipe = await lrp.recipe();
        if (!recipe) return;
        const { instances, routes, egressRules } = lrp;
        await bbs.desireLrp(desiredLrp({ ...recipe, instances, routes, egressRules, annotation }));
        waiting.delete(lrp.processGuid);
        result.desired += 1;
      });
    } else {
      const scaled = existing.instances !== lrp.instances;
      const networkChanged = existing.annotation !== annotation;
      const renamed = !isCalled(existing.owner, lrp.names);
      if (!scaled && !networkChanged && !renamed) continue;
      await attempt('update', lrpGuid, lrp.appGuid, async () => {
        await bbs.updateDesiredLrp({
          processGuid: lrpGuid,
          ...(scaled ? { instances: lrp.instances } : {}),
          ...(networkChanged
            ? {
                annotation,
                setRoutes: true,
                routes: lrp.routes.map((route) => ({ ...route })),
                setEgressRules: true,
                egressRules: lrp.egressRules.map((rule) => ({ ...rule })),
              }
            : {}),
          ...(renamed ? { names: lrp.names } : {}),
        });
        result.updated += 1;
      });
    }
  }
  for (const [lrpGuid, lrp] of present) {
    // The old version stays until the new one is taken, so that a failing Diego does not empty an app.
    if (keep.has(lrpGuid) || waiting.has(processGuidOf(lrpGuid))) continue;
    await attempt('remove', lrpGuid, lrp.owner?.appGuid ?? '', async () => {
      await bbs.removeDesiredLrp({ processGuid: lrpGuid }).catch((error: unknown) => {
        if (!(error instanceof ConnectError) || error.code !== Code.NotFound) throw error;
      });
      result.removed += 1;
    });
  }
  return result;
}

function isCalled(owner: Owner | undefined, { appName, spaceName, organizationName }: AppNames): boolean {
  return owner?.appName === appName && owner.spaceName === spaceName && owner.organizationName === organizationName;
}
