import type { Migration } from '../../kit/database.ts';

/** Domains, shared by all or owned by an organization; routes on them and what they lead to. */
export const domainsAndRoutes: Migration = {
  name: '004-domains-and-routes',
  sql: `
CREATE TABLE domains (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  internal boolean NOT NULL DEFAULT false,
  -- Null: shared by all organizations.
  organization_guid text REFERENCES organizations (guid) ON DELETE CASCADE,
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT domains_name_key UNIQUE (name),
  CONSTRAINT domains_name_lower CHECK (name = lower(name))
);
CREATE INDEX domains_organization ON domains (organization_guid);

CREATE TABLE domain_shared_organizations (
  domain_guid text NOT NULL REFERENCES domains (guid) ON DELETE CASCADE,
  organization_guid text NOT NULL REFERENCES organizations (guid) ON DELETE CASCADE,
  PRIMARY KEY (domain_guid, organization_guid)
);
CREATE INDEX domain_shared_organizations_organization ON domain_shared_organizations (organization_guid);

CREATE TABLE routes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  space_guid text NOT NULL REFERENCES spaces (guid),
  domain_guid text NOT NULL REFERENCES domains (guid),
  host text NOT NULL,
  path text NOT NULL,
  port integer NOT NULL DEFAULT 0,
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT routes_address UNIQUE (domain_guid, host, path, port)
);
CREATE INDEX routes_space ON routes (space_guid, id);
CREATE INDEX routes_labels ON routes USING gin (labels);

CREATE TABLE route_destinations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  route_guid text NOT NULL REFERENCES routes (guid) ON DELETE CASCADE,
  app_guid text NOT NULL,
  process_type text NOT NULL,
  port integer NOT NULL,
  protocol text NOT NULL,
  weight integer,
  CONSTRAINT route_destinations_target UNIQUE (route_guid, app_guid, process_type, port)
);
CREATE INDEX route_destinations_app ON route_destinations (app_guid);
`,
};
