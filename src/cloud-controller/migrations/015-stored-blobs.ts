import type { Migration } from '../../kit/database.ts';

/**
 * What is kept in the blobstore for whom, from before its first byte on; and the files that pushes need not send again, by the
 * space that uploaded them.
 */
export const storedBlobs: Migration = {
  name: '130-stored-blobs',
  sql: `
CREATE TABLE stored_blobs (
  kind text NOT NULL,
  key text NOT NULL,
  organization_guid text NOT NULL,
  bytes bigint NOT NULL CHECK (bytes >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, key)
);
CREATE INDEX stored_blobs_organization ON stored_blobs (organization_guid, kind);
CREATE TABLE matched_files (
  guid text PRIMARY KEY,
  space_guid text NOT NULL REFERENCES spaces (guid) ON DELETE CASCADE,
  sha1 text NOT NULL,
  sha256 text NOT NULL,
  bytes bigint NOT NULL,
  last_used_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (space_guid, sha256)
);
CREATE INDEX matched_files_sha1 ON matched_files (sha1);
CREATE INDEX matched_files_last_used ON matched_files (last_used_at);
`,
};
