import { sql } from 'kysely';
import { fingerprintOf, type GuidRange, groupOf } from '../../contracts/lrp-fingerprint.ts';
import type { Context } from '../context.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import type { Guid } from '../guid.ts';
import { annotationIn } from './annotation.ts';
import { outgoingLrps, startedProcesses } from './desired.ts';
import { renewalOf } from './wanted.ts';

type Compared = Pick<Context, 'db' | 'bbs' | 'clock'>;

/**
 * The groups of LRPs in a range that the BBS and the database have differently, by fingerprints that either makes. One may be named that is in
 * step: what waits to be renewed, or has nothing to run yet.
 */
export async function differingGroups(context: Compared, range: GuidRange): Promise<string[]> {
  const { byGroup: there } = await context.bbs.desiredLrpFingerprints(range);
  const here = await fingerprints(context, range);
  const groups = new Set([...here.keys(), ...Object.keys(there)]);
  return [...groups].filter((group) => here.get(group) !== there[group]);
}

async function fingerprints(context: Compared, range: GuidRange): Promise<Map<string, string>> {
  const { db } = context;
  const asked = { within: range, docker: await isFeatureEnabled(db, 'diego_docker') };
  const started = startedProcesses(db, asked)
    .leftJoin('droplets', (join) =>
      join.on('droplets.guid', '=', sql<Guid<'droplet'>>`coalesce(processes.droplet_guid, apps.droplet_guid)`),
    )
    .where(sql<boolean>`(droplets.sha256 IS NOT NULL OR droplets.docker_image IS NOT NULL)`)
    .select([
      'processes.app_guid',
      'processes.instances',
      sql<string>`processes.guid || '-' || processes.version`.as('lrp_guid'),
    ]);
  const outgoing = outgoingLrps(db, asked).select([
    'outgoing_lrps.app_guid',
    'outgoing_lrps.instances',
    'outgoing_lrps.lrp_guid',
  ]);
  const rows = await db
    .selectFrom(started.unionAll(outgoing).as('lrps'))
    .select([
      groupOf(sql.ref('lrps.app_guid')).as('group'),
      fingerprintOf({
        guid: sql.ref('lrps.lrp_guid'),
        instances: sql.ref('lrps.instances'),
        annotation: annotationIn(sql.ref('lrps.network'), renewalOf(context.clock)),
        appName: sql.ref('lrps.app_name'),
        spaceName: sql.ref('lrps.space_name'),
        organizationName: sql.ref('lrps.organization_name'),
      }).as('fingerprint'),
    ])
    .groupBy('group')
    .execute();
  return new Map(rows.map(({ group, fingerprint }) => [group, fingerprint]));
}
