import type { Migration } from '../../kit/database.ts';

/** Organizations, spaces and their quotas. */
export const organizations: Migration = {
  name: '001-organizations',
  sql: `
CREATE TABLE organization_quotas (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  total_memory_mb integer,
  per_process_memory_mb integer,
  total_instances integer,
  per_app_tasks integer,
  log_rate_bytes_per_second integer,
  paid_services_allowed boolean NOT NULL DEFAULT true,
  total_service_instances integer,
  total_service_keys integer,
  total_routes integer,
  total_reserved_ports integer,
  total_domains integer
);
CREATE UNIQUE INDEX organization_quotas_name_key ON organization_quotas (lower(name));
INSERT INTO organization_quotas (guid, name, total_memory_mb, total_routes, total_service_instances, total_reserved_ports)
  VALUES ('00000000-0000-4000-8000-000000000001', 'default', 10240, 1000, 100, 0);

CREATE TABLE isolation_segments (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX isolation_segments_name_key ON isolation_segments (lower(name));
INSERT INTO isolation_segments (guid, name) VALUES ('933b4c58-120b-499a-b85d-4b6fc9e2903b', 'shared');

CREATE TABLE organizations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  suspended boolean NOT NULL DEFAULT false,
  quota_guid text NOT NULL REFERENCES organization_quotas (guid),
  default_isolation_segment_guid text REFERENCES isolation_segments (guid),
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX organizations_name_key ON organizations (lower(name));
CREATE INDEX organizations_name ON organizations (name, id);
CREATE INDEX organizations_created_at ON organizations (created_at, id);
CREATE INDEX organizations_updated_at ON organizations (updated_at, id);
CREATE INDEX organizations_quota ON organizations (quota_guid);
CREATE INDEX organizations_labels ON organizations USING gin (labels);

CREATE TABLE organization_isolation_segments (
  organization_guid text NOT NULL REFERENCES organizations (guid) ON DELETE CASCADE,
  isolation_segment_guid text NOT NULL REFERENCES isolation_segments (guid),
  PRIMARY KEY (organization_guid, isolation_segment_guid)
);

CREATE TABLE space_quotas (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  organization_guid text NOT NULL REFERENCES organizations (guid) ON DELETE CASCADE,
  total_memory_mb integer,
  per_process_memory_mb integer,
  total_instances integer,
  per_app_tasks integer,
  log_rate_bytes_per_second integer,
  paid_services_allowed boolean NOT NULL DEFAULT true,
  total_service_instances integer,
  total_service_keys integer,
  total_routes integer,
  total_reserved_ports integer
);
CREATE UNIQUE INDEX space_quotas_name_key ON space_quotas (organization_guid, lower(name));

CREATE TABLE spaces (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  organization_guid text NOT NULL REFERENCES organizations (guid),
  space_quota_guid text REFERENCES space_quotas (guid) ON DELETE SET NULL,
  isolation_segment_guid text REFERENCES isolation_segments (guid),
  allow_ssh boolean NOT NULL DEFAULT true,
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX spaces_name_key ON spaces (organization_guid, lower(name));
CREATE INDEX spaces_name ON spaces (name, id);
CREATE INDEX spaces_created_at ON spaces (created_at, id);
CREATE INDEX spaces_labels ON spaces USING gin (labels);
`,
};
