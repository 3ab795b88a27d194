import { type RawBuilder, sql } from 'kysely';

/** Which rows of a table do not stay for ever. */
export interface RetentionRule {
  table: 'audit_events' | 'jobs' | 'tasks' | 'builds' | 'deployments' | 'revisions' | 'packages' | 'droplets';
  /** Which of them it is about: what is under way or in use stays. */
  of: RawBuilder<boolean>;
  /** They go when `since` is so long ago. */
  days?: { since: 'created_at' | 'updated_at'; most: number };
  /** Of those that agree in `per` the newest stay. */
  newest?: { per: RawBuilder<string>; most: number };
}

/** Cloud Foundry's days for events and tasks. */
const DAYS = 31;
/** Cloud Foundry's number of builds, deployments and revisions of an app. */
const OF_APP = { per: sql<string>`app_guid`, most: 100 };

/**
 * Time alone bounds nothing: within it one developer may make more than the disk holds. So each has a number beside it, for
 * those who can make them: events for each actor in an organization, so that who makes many pushes out their own alone;
 * jobs for each caller; everything else for each app. Ordinary use stays far below.
 */
export const RETENTION_RULES: readonly RetentionRule[] = [
  {
    table: 'audit_events',
    of: sql`true`,
    days: { since: 'created_at', most: DAYS },
    newest: { per: sql`actor_guid || ' ' || coalesce(organization_guid, '')`, most: 200_000 },
  },
  {
    table: 'jobs',
    of: sql`state <> 'PROCESSING'`,
    days: { since: 'updated_at', most: DAYS },
    newest: { per: sql`actor ->> 'guid'`, most: 10_000 },
  },
  {
    table: 'tasks',
    // The last one stays: the next gets the number after its.
    of: sql`state IN ('SUCCEEDED', 'FAILED') AND EXISTS (SELECT FROM tasks AS later
      WHERE later.app_guid = tasks.app_guid AND later.sequence_id > tasks.sequence_id)`,
    days: { since: 'updated_at', most: DAYS },
    newest: { per: sql`app_guid`, most: 1_000 },
  },
  { table: 'builds', of: sql`state <> 'STAGING'`, newest: OF_APP },
  { table: 'deployments', of: sql`status_value <> 'ACTIVE'`, newest: OF_APP },
  {
    table: 'revisions',
    of: sql`NOT EXISTS (SELECT FROM processes WHERE processes.app_guid = revisions.app_guid AND revision_guid = revisions.guid)
      AND NOT EXISTS (SELECT FROM outgoing_lrps WHERE outgoing_lrps.app_guid = revisions.app_guid
        AND revision_guid = revisions.guid)`,
    newest: OF_APP,
  },
  {
    table: 'packages',
    of: sql`state = 'AWAITING_UPLOAD'`,
    days: { since: 'updated_at', most: 1 },
    newest: OF_APP,
  },
  // What has expired is shown for a week.
  { table: 'packages', of: sql`state = 'EXPIRED'`, days: { since: 'updated_at', most: 7 }, newest: OF_APP },
  { table: 'droplets', of: sql`state = 'EXPIRED'`, days: { since: 'updated_at', most: 7 }, newest: OF_APP },
];
