import type { Migration } from '../../kit/database.ts';

/** Options of one route. The version before never names the column. */
export const routeOptions: Migration = {
  name: '140-route-options',
  sql: `ALTER TABLE routes ADD COLUMN options jsonb NOT NULL DEFAULT '{}';`,
};
