import type { Migration } from '../../kit/database.ts';

/** What happened, what is still being done, and the switches of the foundation. */
export const auditEventsAndJobs: Migration = {
  name: '003-audit-events-and-jobs',
  sql: `
CREATE TABLE audit_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  type text NOT NULL,
  actor_guid text NOT NULL,
  actor_type text NOT NULL,
  actor_name text NOT NULL,
  target_guid text NOT NULL,
  target_type text NOT NULL,
  target_name text NOT NULL,
  data jsonb NOT NULL,
  -- Without foreign keys: an event outlives what it tells of.
  organization_guid text,
  space_guid text
);
CREATE INDEX audit_events_target ON audit_events (target_guid, id);
CREATE INDEX audit_events_space ON audit_events (space_guid, id);
CREATE INDEX audit_events_organization ON audit_events (organization_guid, id);
CREATE INDEX audit_events_type ON audit_events (type, id);
CREATE INDEX audit_events_created_at ON audit_events (created_at, id);

CREATE TABLE jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  operation text NOT NULL,
  state text NOT NULL CHECK (state IN ('PROCESSING', 'COMPLETE', 'FAILED')),
  resource_type text,
  resource_guid text,
  input jsonb NOT NULL,
  actor jsonb NOT NULL,
  errors jsonb NOT NULL,
  warnings jsonb NOT NULL,
  attempts integer NOT NULL,
  locked_until timestamptz
);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE state = 'PROCESSING';

CREATE TABLE feature_flags (
  name text PRIMARY KEY,
  enabled boolean NOT NULL,
  custom_error_message text,
  updated_at timestamptz NOT NULL DEFAULT now()
);
`,
};
