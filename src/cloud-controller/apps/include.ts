import type { Context } from '../context.ts';
import { organizationView } from '../organizations/view.ts';
import { findSpaces } from '../spaces/store.ts';
import { spaceView } from '../spaces/view.ts';
import type { App } from './store.ts';

/** `include=space,org`: the spaces and organizations of these apps. Whoever sees an app sees where it lies. */
export async function includedOfApps(
  context: Pick<Context, 'db' | 'links'>,
  apps: readonly App[],
  include: ReadonlySet<string>,
): Promise<Record<string, unknown[]> | undefined> {
  if (include.size === 0) return undefined;
  const { db, links } = context;
  const included: Record<string, unknown[]> = {};
  const spaceGuids = [...new Set(apps.map((app) => app.space_guid))];
  const organizationGuids = [...new Set(apps.map((app) => app.organization_guid))];
  if (include.has('space') || include.has('space.organization')) {
    const rows = await findSpaces(db, spaceGuids);
    included['spaces'] = rows.map((row) => spaceView(links, row));
  }
  if (include.has('org') || include.has('space.organization')) {
    const rows = organizationGuids.length
      ? await db.selectFrom('organizations').selectAll().where('guid', 'in', organizationGuids).execute()
      : [];
    included['organizations'] = rows.map((row) => organizationView(links, row));
  }
  return included;
}
