import type { Migration } from '../../kit/database.ts';

/**
 * What goes on serving while its successor starts; canary deployments and the sizes a deployment brings; sidecars that come
 * with a droplet.
 */
export const restartsCanariesSidecars: Migration = {
  name: '110-restarts-canaries-sidecars',
  sql: `
ALTER TABLE apps ADD COLUMN rolling_restarts_enabled boolean NOT NULL DEFAULT true;
CREATE TABLE outgoing_lrps (
  id bigserial PRIMARY KEY,
  lrp_guid text NOT NULL UNIQUE,
  app_guid text NOT NULL REFERENCES apps (guid) ON DELETE CASCADE,
  process_guid text NOT NULL REFERENCES processes (guid) ON DELETE CASCADE,
  instances integer NOT NULL CHECK (instances > 0),
  until timestamptz
);
CREATE INDEX outgoing_lrps_process ON outgoing_lrps (process_guid);
CREATE INDEX outgoing_lrps_app ON outgoing_lrps (app_guid);
ALTER TABLE deployments
  ADD COLUMN web_instances integer,
  ADD COLUMN memory_mb integer,
  ADD COLUMN disk_mb integer,
  ADD COLUMN log_rate_limit integer,
  ADD COLUMN canary_steps integer[],
  ADD COLUMN canary_step integer,
  ADD COLUMN promoted boolean NOT NULL DEFAULT false;
ALTER TABLE sidecars ADD COLUMN origin text NOT NULL DEFAULT 'user';
ALTER TABLE droplets ADD COLUMN sidecars jsonb NOT NULL DEFAULT '[]';
`,
};
