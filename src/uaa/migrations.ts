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
  {
    name: '002_revocations',
    sql: `
      -- What a token was made under. A change that must end tokens takes the next number, and no number comes
      -- twice.
      CREATE SEQUENCE token_generations;
      ALTER TABLE users
        ADD COLUMN token_generation bigint NOT NULL DEFAULT 0,
        ADD COLUMN token_salt text;
      -- A client's newest secret has a generation; tokens of the older one stay good until that secret goes.
      ALTER TABLE clients
        ADD COLUMN token_generation bigint NOT NULL DEFAULT 0,
        ADD COLUMN least_token_generation bigint NOT NULL DEFAULT 0,
        ADD COLUMN token_salt text;
      ALTER TABLE authorization_codes ADD COLUMN user_generation bigint NOT NULL DEFAULT 0;

      -- changed_in lets a reader go on where it was without missing what was committed late.
      CREATE TABLE token_revocations (
        kind text NOT NULL CHECK (kind IN ('USER', 'CLIENT')),
        subject text NOT NULL,
        least_generation bigint NOT NULL,
        revoked_at timestamptz NOT NULL DEFAULT now(),
        changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (kind, subject)
      );
      CREATE INDEX token_revocations_changed ON token_revocations (changed_in);
      ALTER TABLE revoked_tokens ADD COLUMN changed_in xid8 NOT NULL DEFAULT pg_current_xact_id();
      CREATE INDEX revoked_tokens_changed ON revoked_tokens (changed_in);

      -- Triggers, so that no statement of any version can change what tokens rest on and forget those that are out.
      CREATE FUNCTION revoke_tokens(of_kind text, of_subject text, below bigint) RETURNS void
      LANGUAGE sql SET search_path FROM CURRENT AS $$
        INSERT INTO token_revocations AS r (kind, subject, least_generation) VALUES (of_kind, of_subject, below)
        ON CONFLICT (kind, subject) DO UPDATE SET
          least_generation = greatest(r.least_generation, excluded.least_generation),
          revoked_at = now(),
          changed_in = pg_current_xact_id()
      $$;

      CREATE FUNCTION user_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        NEW.token_generation := nextval('token_generations');
        PERFORM revoke_tokens('USER', NEW.id, NEW.token_generation);
        RETURN NEW;
      END $$;
      CREATE TRIGGER user_changed BEFORE UPDATE ON users FOR EACH ROW
        WHEN (
          (OLD.active AND NOT NEW.active)
          OR (OLD.user_name, OLD.origin, OLD.email, OLD.password_hash, OLD.token_salt)
            IS DISTINCT FROM (NEW.user_name, NEW.origin, NEW.email, NEW.password_hash, NEW.token_salt)
        )
        EXECUTE FUNCTION user_changed();

      CREATE FUNCTION user_deleted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        PERFORM revoke_tokens('USER', OLD.id, nextval('token_generations'));
        RETURN NULL;
      END $$;
      CREATE TRIGGER user_deleted AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION user_deleted();

      CREATE FUNCTION client_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      DECLARE
        newest_changed boolean := NEW.secret_hashes[1] IS DISTINCT FROM OLD.secret_hashes[1];
        less boolean := NOT (OLD.scope <@ NEW.scope AND OLD.authorities <@ NEW.authorities)
          OR NEW.token_salt IS DISTINCT FROM OLD.token_salt;
        secret_gone boolean := NOT (OLD.secret_hashes <@ NEW.secret_hashes)
          OR (cardinality(OLD.secret_hashes) = 0 AND cardinality(NEW.secret_hashes) > 0);
      BEGIN
        IF newest_changed OR less THEN NEW.token_generation := nextval('token_generations'); END IF;
        IF secret_gone OR less THEN
          NEW.least_token_generation := NEW.token_generation;
          PERFORM revoke_tokens('CLIENT', NEW.client_id, NEW.least_token_generation);
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER client_changed BEFORE UPDATE ON clients FOR EACH ROW
        WHEN (
          (OLD.secret_hashes, OLD.scope, OLD.authorities, OLD.token_salt)
          IS DISTINCT FROM (NEW.secret_hashes, NEW.scope, NEW.authorities, NEW.token_salt)
        )
        EXECUTE FUNCTION client_changed();

      -- Under an id that had tokens before, a new client begins above them.
      CREATE FUNCTION client_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        IF EXISTS (SELECT FROM token_revocations WHERE kind = 'CLIENT' AND subject = NEW.client_id) THEN
          NEW.token_generation := nextval('token_generations');
          NEW.least_token_generation := NEW.token_generation;
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER client_created BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION client_created();

      CREATE FUNCTION client_deleted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        PERFORM revoke_tokens('CLIENT', OLD.client_id, nextval('token_generations'));
        RETURN NULL;
      END $$;
      CREATE TRIGGER client_deleted AFTER DELETE ON clients FOR EACH ROW EXECUTE FUNCTION client_deleted();

      -- Whoever was in the group by this membership has fewer scopes; in their order, so that two such changes wait for each other
      -- rather than for ever.
      CREATE FUNCTION membership_ended() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      DECLARE
        affected record;
      BEGIN
        FOR affected IN
          WITH RECURSIVE ended (member_type, member_id) AS (
            SELECT OLD.member_type, OLD.member_id
            UNION
            SELECT inner_member.member_type, inner_member.member_id FROM group_members inner_member
            JOIN ended ON ended.member_type = 'GROUP' AND inner_member.group_id = ended.member_id
          )
          SELECT users.id FROM users JOIN ended ON ended.member_type = 'USER' AND ended.member_id = users.id
          ORDER BY users.id
          FOR UPDATE OF users
        LOOP
          UPDATE users SET token_generation = nextval('token_generations') WHERE id = affected.id;
          PERFORM revoke_tokens('USER', affected.id, (SELECT token_generation FROM users WHERE id = affected.id));
        END LOOP;
        RETURN NULL;
      END $$;
      CREATE TRIGGER membership_ended AFTER DELETE ON group_members FOR EACH ROW EXECUTE FUNCTION membership_ended();
    `,
  },
  {
    name: '003_login_places',
    sql: `
      -- Addresses from which the holder of a name has logged in, by hashes: their failures are counted by themselves, in
      -- login_failures under the hash of the place.
      CREATE TABLE login_places (
        place_hash bytea PRIMARY KEY,
        name_hash bytea NOT NULL,
        last_login_at timestamptz NOT NULL
      );
      CREATE INDEX login_places_name ON login_places (name_hash, last_login_at);
      CREATE INDEX login_places_age ON login_places (last_login_at);
    `,
  },
  {
    name: '004_codes_and_deactivation',
    sql: `
      -- The access token that a code was asked for with: what ends the one ends the other.
      ALTER TABLE authorization_codes ADD COLUMN token jsonb;

      -- Who is made inactive has new tokens to ask for once they are active again.
      CREATE OR REPLACE FUNCTION user_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        IF OLD.active AND NOT NEW.active THEN NEW.token_salt := gen_random_uuid()::text; END IF;
        NEW.token_generation := nextval('token_generations');
        PERFORM revoke_tokens('USER', NEW.id, NEW.token_generation);
        RETURN NEW;
      END $$;
      UPDATE users SET token_salt = gen_random_uuid()::text WHERE NOT active;
    `,
  },
];
