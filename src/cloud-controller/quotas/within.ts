import { sql } from 'kysely';
import type { Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { checkAppQuotas, type Limits, limitsOf, lockQuotas, type OfOneApp } from './enforce.ts';
import { boundOutgoing } from './outgoing-bound.ts';
import { committed } from './usage.ts';

declare const COUNTED: unique symbol;

/**
 * A transaction at whose end the quotas are checked: given by `withinQuota` alone. What changes what counts against a
 * quota (instances, sizes and states of processes, new tasks and builds, what goes on serving) takes nothing else.
 */
export type Counted = Trx & { readonly [COUNTED]: true };

/** An app, and where it lies. */
interface Where {
  guid: Guid<'app'>;
  space_guid: Guid<'space'>;
  organization_guid: Guid<'organization'>;
}

/**
 * Does `body` in the transaction and throws QuotaExceeded where afterwards more is committed than before, and more than a
 * quota allows (SECURITY 30): what only takes away, or gives back what was reserved, is never refused. Versions that serve
 * until they are replaced end early where they would exceed it.
 *
 * Everybody else's changes in this organization wait until the transaction ends. Call it before rows of apps and processes
 * are locked, so that two changes never wait for each other.
 */
export async function withinQuota<Result>(
  trx: Trx,
  app: Where,
  body: (trx: Counted) => Promise<Result>,
): Promise<Result> {
  await lockQuotas(trx, app.organization_guid);
  const limits = await limitsOf(trx, app.space_guid);
  const before = await measure(trx, app, limits);
  const result = await body(trx as Counted);
  const after = await measure(trx, app, limits);
  for (const [i, limit] of limits.entries()) {
    checkAppQuotas(limit, before.totals[i]!, after.totals[i]!, before.app, after.app);
    await boundOutgoing(trx, limit, after.totals[i]!, app.organization_guid, spaceOf(limit, app));
  }
  return result;
}

async function measure(trx: Trx, app: Where, limits: readonly Limits[]) {
  const totals = [];
  for (const limit of limits) totals.push(await committed(trx, app.organization_guid, spaceOf(limit, app)));
  return { totals, app: await ofOneApp(trx, app.guid) };
}

function spaceOf({ kind }: Limits, app: Where): Guid<'space'> | undefined {
  return kind === 'space' ? app.space_guid : undefined;
}

async function ofOneApp(trx: Trx, guid: Guid<'app'>): Promise<OfOneApp> {
  const active = sql`state IN ('PENDING', 'RUNNING', 'CANCELING')`;
  const { rows } = await sql<OfOneApp>`
    SELECT
      (SELECT coalesce(max(memory_mb), 0) FROM processes WHERE app_guid = ${guid}) AS "processMemoryMb",
      greatest((SELECT max(memory_mb) FROM processes WHERE app_guid = ${guid} AND state = 'STARTED' AND instances > 0),
        (SELECT max(memory_mb) FROM tasks WHERE app_guid = ${guid} AND ${active}), 0) AS "runningMemoryMb",
      (SELECT count(*) FROM tasks WHERE app_guid = ${guid} AND ${active}) AS tasks`.execute(trx);
  return rows[0]!;
}
