import type { Migration } from '../../kit/database.ts';

/**
 * What containers may reach. Without a rule they reach nothing; the two groups every installation starts with open the
 * public networks (nothing private, link-local or the metadata address) and DNS.
 */
export const securityGroups: Migration = {
  name: '005-security-groups',
  sql: `
CREATE TABLE security_groups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  rules jsonb NOT NULL,
  running_default boolean NOT NULL DEFAULT false,
  staging_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX security_groups_name_key ON security_groups (lower(name));
CREATE TABLE security_group_spaces (
  security_group_guid text NOT NULL REFERENCES security_groups (guid) ON DELETE CASCADE,
  space_guid text NOT NULL REFERENCES spaces (guid) ON DELETE CASCADE,
  phase text NOT NULL CHECK (phase IN ('running', 'staging')),
  PRIMARY KEY (security_group_guid, space_guid, phase)
);
CREATE INDEX security_group_spaces_space ON security_group_spaces (space_guid, phase);
INSERT INTO security_groups (guid, name, rules, running_default, staging_default) VALUES
  ('00000000-0000-4000-8000-000000000011', 'public_networks', '[
    {"protocol": "all", "destination": "0.0.0.0-9.255.255.255"},
    {"protocol": "all", "destination": "11.0.0.0-169.253.255.255"},
    {"protocol": "all", "destination": "169.255.0.0-172.15.255.255"},
    {"protocol": "all", "destination": "172.32.0.0-192.167.255.255"},
    {"protocol": "all", "destination": "192.169.0.0-255.255.255.255"}]', true, true),
  ('00000000-0000-4000-8000-000000000012', 'dns', '[
    {"protocol": "tcp", "destination": "0.0.0.0/0", "ports": "53"},
    {"protocol": "udp", "destination": "0.0.0.0/0", "ports": "53"}]', true, true);

CREATE TABLE environment_variable_groups (
  name text PRIMARY KEY CHECK (name IN ('running', 'staging')),
  key_label text NOT NULL,
  data bytea NOT NULL,
  updated_at timestamptz NOT NULL
);
`,
};
