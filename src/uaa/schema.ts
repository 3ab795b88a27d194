import type { JWK } from 'jose';
import type { ColumnType, Generated, JSONColumnType } from 'kysely';

/** What of a token says whether it is still in force. */
export interface TokenOrigin {
  jti: string;
  clientId: string;
  userId: string | null;
  /** What of its client and user it was made under. */
  signature: string;
  clientGeneration: number;
  userGeneration: number;
}

/** The tables of the schema `uaa`, as Kysely sees them. */
export interface UaaSchema {
  signing_keys: {
    kid: string;
    public_jwk: JSONColumnType<JWK>;
    private_key_label: string;
    private_key_sealed: Buffer;
    signs_from: Date;
    created_at: Date;
  };
  users: {
    id: string;
    user_name: string;
    origin: string;
    external_id: string | null;
    given_name: string | null;
    family_name: string | null;
    email: string;
    phone_number: string | null;
    password_hash: string | null;
    password_changed_at: Date | null;
    active: Generated<boolean>;
    verified: Generated<boolean>;
    version: Generated<number>;
    /** Access tokens of an earlier one are refused. Set by a trigger, like the clients' (see the migration). */
    token_generation: ColumnType<number, never, never>;
    /** Changes when every token of the user ends, refresh tokens too. */
    token_salt: ColumnType<string | null, never, string>;
    last_logon_at: ColumnType<Date | null, never, Date>;
    previous_logon_at: ColumnType<Date | null, never, Date | null>;
    created_at: ColumnType<Date, Date, never>;
    updated_at: Date;
  };
  former_users: { id: string; deleted_at: Date };
  groups: {
    id: string;
    display_name: string;
    description: string | null;
    version: Generated<number>;
    created_at: ColumnType<Date, Date, never>;
    updated_at: Date;
  };
  group_members: {
    group_id: string;
    member_type: MemberType;
    member_id: string;
    origin: string;
    added_at: Date;
  };
  clients: {
    client_id: string;
    name: string | null;
    secret_hashes: string[];
    scope: string[];
    authorities: string[];
    grant_types: string[];
    redirect_uris: string[];
    auto_approve: string[];
    access_token_seconds: number | null;
    refresh_token_seconds: number | null;
    token_generation: ColumnType<number, never, never>;
    least_token_generation: ColumnType<number, never, never>;
    token_salt: ColumnType<string | null, never, string>;
    created_at: ColumnType<Date, Date, never>;
    updated_at: Date;
  };
  revoked_tokens: { jti: string; expires_at: Date };
  /** Written by triggers alone. */
  token_revocations: { kind: 'USER' | 'CLIENT'; subject: string; least_generation: number; revoked_at: Date };
  authorization_codes: {
    code_hash: Buffer;
    client_id: string;
    user_id: string;
    scope: string[];
    redirect_uri: string | null;
    code_challenge: string | null;
    /** The access token that it was asked for with. */
    token: JSONColumnType<TokenOrigin> | null;
    expires_at: Date;
  };
  login_failures: {
    /** Of the name, or of the name and an address its password was shown from. */
    name_hash: Buffer;
    failures: number;
    counted_since: Date;
    locked_until: Date | null;
  };
  /** Where the password of a name was shown. */
  login_places: { place_hash: Buffer; name_hash: Buffer; last_login_at: Date };
}

export type MemberType = 'USER' | 'GROUP';
