import type { Migration } from '../kit/database.ts';

/** The schema `uaa`. Forward only. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '001_identity',
    sql: `
      CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        public_jwk jsonb NOT NULL,
        private_key_label text NOT NULL,
        private_key_sealed bytea NOT NULL,
        signs_from timestamptz NOT NULL,
        created_at timestamptz NOT NULL
      );

      CREATE TABLE users (
        id text PRIMARY KEY,
        user_name text NOT NULL,
        origin text NOT NULL,
        external_id text,
        given_name text,
        family_name text,
        email text NOT NULL,
        phone_number text,
        password_hash text,
        password_changed_at timestamptz,
        active boolean NOT NULL DEFAULT true,
        verified boolean NOT NULL DEFAULT true,
        version integer NOT NULL DEFAULT 0,
        last_logon_at timestamptz,
        previous_logon_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
      );
      CREATE UNIQUE INDEX users_name ON users (lower(user_name), origin);
      CREATE INDEX users_created ON users (created_at, id);
      CREATE INDEX users_email ON users (lower(email));

      -- The ids of deleted users: no client may ever carry one.
      CREATE TABLE former_users (id text PRIMARY KEY, deleted_at timestamptz NOT NULL);

      CREATE TABLE groups (
        id text PRIMARY KEY,
        display_name text NOT NULL,
        description text,
        version integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
      );
      CREATE UNIQUE INDEX groups_name ON groups (lower(display_name));

      CREATE TABLE group_members (
        group_id text NOT NULL REFERENCES groups ON DELETE CASCADE,
        member_type text NOT NULL CHECK (member_type IN ('USER', 'GROUP')),
        member_id text NOT NULL,
        origin text NOT NULL,
        added_at timestamptz NOT NULL,
        PRIMARY KEY (group_id, member_type, member_id)
      );
      CREATE INDEX group_members_member ON group_members (member_type, member_id);

      CREATE TABLE clients (
        client_id text PRIMARY KEY,
        name text,
        -- Newest first; two at most, so that a secret can change without an outage. None: a public client.
        secret_hashes text[] NOT NULL,
        scope text[] NOT NULL,
        authorities text[] NOT NULL,
        grant_types text[] NOT NULL,
        redirect_uris text[] NOT NULL,
        auto_approve text[] NOT NULL,
        access_token_seconds integer,
        refresh_token_seconds integer,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
      );

      CREATE TABLE revoked_tokens (jti text PRIMARY KEY, expires_at timestamptz NOT NULL);
      CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

      CREATE TABLE authorization_codes (
        code_hash bytea PRIMARY KEY,
        client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        scope text[] NOT NULL,
        redirect_uri text,
        code_challenge text,
        expires_at timestamptz NOT NULL
      );

      -- Failed logins by a hash of the name, whether or not a user has it: a lockout tells nobody who exists.
      CREATE TABLE login_failures (
        name_hash bytea PRIMARY KEY,
        failures integer NOT NULL,
        counted_since timestamptz NOT NULL,
        locked_until timestamptz
      );
      CREATE INDEX login_failures_age ON login_failures (counted_since);
    `,
  },
];
