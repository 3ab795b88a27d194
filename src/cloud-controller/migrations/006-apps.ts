import type { Migration } from '../../kit/database.ts';

const ROW = `
  id bigserial PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}'`;
const OF_APP = 'app_guid text NOT NULL REFERENCES apps (guid) ON DELETE CASCADE';

/** Apps and what belongs to them. What hangs on an app goes with it; blobs are deleted by the operation. */
export const apps: Migration = {
  name: '100-apps',
  sql: `
CREATE TABLE stacks (${ROW},
  name text NOT NULL UNIQUE,
  description text
);
CREATE TABLE buildpacks (${ROW},
  name text NOT NULL,
  stack text,
  position integer NOT NULL,
  state text NOT NULL,
  enabled boolean NOT NULL,
  locked boolean NOT NULL,
  filename text,
  sha256 text,
  blob_key text
);
CREATE UNIQUE INDEX buildpacks_name_stack ON buildpacks (name, coalesce(stack, ''));
CREATE TABLE apps (${ROW},
  name text NOT NULL,
  space_guid text NOT NULL CONSTRAINT apps_space REFERENCES spaces (guid),
  state text NOT NULL,
  buildpacks text[] NOT NULL,
  stack text NOT NULL,
  env_key_label text,
  env_data bytea,
  droplet_guid text,
  ssh_enabled boolean NOT NULL DEFAULT true,
  revisions_enabled boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX apps_name ON apps (space_guid, lower(name));
CREATE TABLE processes (${ROW},
  ${OF_APP},
  type text NOT NULL,
  command text,
  instances integer NOT NULL CHECK (instances >= 0),
  memory_mb integer NOT NULL CHECK (memory_mb > 0),
  disk_mb integer NOT NULL CHECK (disk_mb > 0),
  log_rate_limit integer NOT NULL CHECK (log_rate_limit >= -1),
  health_check_type text NOT NULL,
  health_check_endpoint text,
  health_check_timeout integer,
  health_check_invocation_timeout integer,
  health_check_interval integer,
  readiness_type text NOT NULL DEFAULT 'process',
  readiness_endpoint text,
  readiness_invocation_timeout integer,
  readiness_interval integer,
  state text NOT NULL,
  version text NOT NULL,
  droplet_guid text,
  revision_guid text
);
CREATE INDEX processes_app ON processes (app_guid, type);
CREATE INDEX processes_started ON processes (state) WHERE state = 'STARTED';
CREATE TABLE packages (${ROW},
  ${OF_APP},
  state text NOT NULL,
  error text,
  sha256 text
);
CREATE INDEX packages_app ON packages (app_guid);
CREATE TABLE builds (${ROW},
  ${OF_APP},
  package_guid text NOT NULL,
  state text NOT NULL,
  error text,
  droplet_guid text NOT NULL,
  buildpacks text[] NOT NULL,
  stack text NOT NULL,
  staging_memory_mb integer NOT NULL,
  staging_disk_mb integer NOT NULL,
  created_by_guid text NOT NULL,
  created_by_name text NOT NULL,
  desired_at timestamptz
);
CREATE UNIQUE INDEX builds_one_staging ON builds (app_guid) WHERE state = 'STAGING';
CREATE INDEX builds_app ON builds (app_guid);
CREATE INDEX builds_package ON builds (package_guid);
CREATE TABLE droplets (${ROW},
  ${OF_APP},
  package_guid text,
  state text NOT NULL,
  error text,
  sha256 text,
  process_types jsonb NOT NULL,
  execution_metadata text NOT NULL DEFAULT '',
  buildpacks jsonb NOT NULL,
  stack text
);
CREATE INDEX droplets_app ON droplets (app_guid);
CREATE INDEX droplets_package ON droplets (package_guid);
CREATE TABLE revisions (${ROW},
  ${OF_APP},
  version integer NOT NULL,
  droplet_guid text NOT NULL,
  description text NOT NULL,
  UNIQUE (app_guid, version)
);
CREATE TABLE deployments (${ROW},
  ${OF_APP},
  strategy text NOT NULL,
  status_value text NOT NULL,
  status_reason text NOT NULL,
  max_in_flight integer NOT NULL,
  droplet_guid text,
  previous_droplet_guid text,
  old_process_guid text NOT NULL,
  new_process_guid text NOT NULL,
  original_instances integer NOT NULL,
  last_healthy_at timestamptz,
  status_updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deployments_app ON deployments (app_guid);
CREATE UNIQUE INDEX deployments_one_active ON deployments (app_guid) WHERE status_value = 'ACTIVE';
CREATE TABLE sidecars (${ROW},
  ${OF_APP},
  name text NOT NULL,
  command text NOT NULL,
  process_types text[] NOT NULL,
  memory_mb integer,
  UNIQUE (app_guid, name)
);
CREATE TABLE tasks (${ROW},
  ${OF_APP},
  sequence_id integer NOT NULL,
  name text NOT NULL,
  command_key_label text NOT NULL,
  command_data bytea NOT NULL,
  state text NOT NULL,
  memory_mb integer NOT NULL,
  disk_mb integer NOT NULL,
  log_rate_limit integer NOT NULL,
  failure_reason text,
  droplet_guid text NOT NULL,
  desired_at timestamptz,
  UNIQUE (app_guid, sequence_id)
);
CREATE INDEX tasks_running ON tasks (state) WHERE state IN ('PENDING', 'RUNNING', 'CANCELING');
`,
};
