import type { Migration } from '../../kit/database.ts';

/**
 * A third group every installation starts with: apps reach other apps, and the API, by their public names. It is a group
 * like others, so an operator unbinds, narrows or deletes it; its rules are filled in at the first start, when the
 * router's address inside is known.
 */
export const publicRoutes: Migration = {
  name: '120-public-routes',
  sql: `
INSERT INTO security_groups (guid, name, rules, running_default, staging_default)
VALUES ('00000000-0000-4000-8000-000000000013', 'public_routes', '[]', true, true)
ON CONFLICT DO NOTHING;
`,
};
