import { createHash } from 'node:crypto';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import type { Bbs, DesiredLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { desiredLrp, lrpGuid, type ProcessRecipe, type RecipeEgressRule, type RecipeRoute } from './recipe.ts';

export type BbsClient = Client<typeof Bbs>;

/** What ought to be desired for one started process: all the BBS can be compared by. */
export interface WantedLrp {
  processGuid: string;
  version: string;
  instances: number;
  routes: readonly RecipeRoute[];
  egressRules: readonly RecipeEgressRule[];
  /** It serves until its successor does: it is kept as it is, and not desired again where Diego has it no longer. */
  outgoing?: true;
  /** When this changes the LRP is desired again under the same guid, with newly signed URLs; its instances go on. */
  renewal: string;
  /** The rest, with environment and signed URLs: made when it is sent. Null while it cannot run (no droplet). */
  recipe(): Promise<Omit<ProcessRecipe, 'annotation' | 'routes' | 'egressRules' | 'instances'> | null>;
}

/** Stands for routes and rules in the BBS's annotation, so that a change shows without reading them back. */
export function annotationOf(routes: readonly RecipeRoute[], egressRules: readonly RecipeEgressRule[]): string {
  const sorted = [...routes].sort((a, b) => (a.guid < b.guid ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([sorted, egressRules]))
    .digest('hex')
    .slice(0, 32);
}

export interface SyncResult {
  desired: number;
  updated: number;
  removed: number;
  failed: number;
}

/**
 * Makes the BBS desire what the database says (DGO-01): every started process and nothing else. Each difference is one
 * call, and each may be repeated; a failing one leaves the others be and is tried again by the next run. A new version is
 * desired before the old one is removed.
 */
export async function syncDesiredLrps(
  bbs: BbsClient,
  readWanted: () => Promise<readonly WantedLrp[]>,
  log: Logger,
): Promise<SyncResult> {
  const result: SyncResult = { desired: 0, updated: 0, removed: 0, failed: 0 };
  const attempt = async (what: string, guid: string, body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } catch (error) {
      result.failed += 1;
      log.warn('Diego did not take a change; it is tried again', { what, processGuid: guid, error: messageOf(error) });
    }
  };
  const present = new Map<string, DesiredLrp>();
  for (const lrp of (await bbs.desiredLrps({})).desiredLrps) present.set(lrp.processGuid, lrp);
  // Read after the BBS: what another process desired meanwhile is then in both, and never taken for a left-over.
  const wanted = await readWanted();
  const keep = new Set<string>();
  const waiting = new Set<string>();
  for (const lrp of wanted) {
    const guid = lrpGuid(lrp.processGuid, lrp.version);
    keep.add(guid);
    const existing = present.get(guid);
    if (lrp.outgoing && !existing) continue;
    const known = existing?.annotation.split(' ')[1];
    const renewal = lrp.outgoing && known !== undefined ? known : lrp.renewal;
    const annotation = `${annotationOf(lrp.routes, lrp.egressRules)} ${renewal}`;
    if (existing === undefined || known !== renewal) {
      await attempt('desire', guid, async () => {
        waiting.add(lrp.processGuid);
        const recipe = await lrp.recipe();
        if (!recipe) return;
        const { instances, routes, egressRules } = lrp;
        await bbs.desireLrp(desiredLrp({ ...recipe, instances, routes, egressRules, annotation }));
        waiting.delete(lrp.processGuid);
        result.desired += 1;
      });
    } else if (existing.instances !== lrp.instances || existing.annotation !== annotation) {
      await attempt('update', guid, async () => {
        await bbs.updateDesiredLrp({
          processGuid: guid,
          instances: lrp.instances,
          annotation,
          setRoutes: true,
          routes: lrp.routes.map((route) => ({ ...route })),
          setEgressRules: true,
          egressRules: lrp.egressRules.map((rule) => ({ ...rule })),
        });
        result.updated += 1;
      });
    }
  }
  for (const guid of present.keys()) {
    // The old version stays until the new one is taken, so that a failing Diego does not empty an app.
    if (keep.has(guid) || waiting.has(guid.slice(0, 36))) continue;
    await attempt('remove', guid, async () => {
      await bbs.removeDesiredLrp({ processGuid: guid }).catch((error: unknown) => {
        if (!(error instanceof ConnectError) || error.code !== Code.NotFound) throw error;
      });
      result.removed += 1;
    });
  }
  return result;
}
