import type { Actor } from '../authorization.ts';
import type { Context, DeleteOnDomain } from '../context.ts';
import type { Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { removeRoutes } from './jobs.ts';
import { routesOnDomain } from './store.ts';

/** Routes that one transaction takes away, each with up to a hundred destinations. */
const BATCH = 100;

/** Takes routes on a domain away, a batch at a time, whoever's they are. */
export const deleteRoutesOnDomain: DeleteOnDomain = async (
  context: Context,
  trx: Trx,
  domainGuid: Guid<'domain'>,
  actor: Actor,
  mayEnd: boolean,
) => {
  const routes = await routesOnDomain(trx, domainGuid, BATCH + 1);
  const isAll = routes.length <= BATCH;
  // The last of them go with it.
  if (isAll && !mayEnd) return { isAll, after: async () => {} };
  const apps = await removeRoutes(trx, routes.slice(0, BATCH), actor);
  return { isAll, after: async () => context.changed(apps) };
};
