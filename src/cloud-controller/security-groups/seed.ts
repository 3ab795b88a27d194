import type { PublicRoutes } from '../context.ts';
import { type Db, now } from '../database.ts';
import { jsonb } from '../metadata.ts';
import type { Rule } from './rules.ts';

const PUBLIC_ROUTES_GUID = '00000000-0000-4000-8000-000000000013';

/** Fills the group `public_routes` while it has no rules; what an operator made of it stays, and deleted it stays deleted. */
export async function seedPublicRoutes(db: Db, routes: PublicRoutes): Promise<void> {
  const rules: Rule[] = [{ protocol: 'tcp', destination: routes.address, ports: routes.ports }];
  await db
    .updateTable('security_groups')
    .set({ rules: jsonb(rules), updated_at: now })
    .where('guid', '=', PUBLIC_ROUTES_GUID)
    .where('rules', '=', jsonb([]))
    .execute();
}
