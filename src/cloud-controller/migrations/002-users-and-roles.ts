import type { Migration } from '../../kit/database.ts';

/** Users by the id UAA gave them, and the roles they hold. */
export const usersAndRoles: Migration = {
  name: '002-users-and-roles',
  sql: `
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  labels jsonb NOT NULL DEFAULT '{}',
  annotations jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE roles (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guid text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  type text NOT NULL,
  user_guid text NOT NULL REFERENCES users (guid) ON DELETE CASCADE,
  organization_guid text REFERENCES organizations (guid) ON DELETE CASCADE,
  space_guid text REFERENCES spaces (guid) ON DELETE CASCADE,
  CONSTRAINT roles_place CHECK (
    (type LIKE 'organization\\_%' AND organization_guid IS NOT NULL AND space_guid IS NULL)
    OR (type LIKE 'space\\_%' AND space_guid IS NOT NULL AND organization_guid IS NULL)),
  CONSTRAINT roles_holder UNIQUE NULLS NOT DISTINCT (user_guid, type, organization_guid, space_guid)
);
CREATE INDEX roles_organization ON roles (organization_guid, user_guid);
CREATE INDEX roles_space ON roles (space_guid, user_guid);
`,
};
