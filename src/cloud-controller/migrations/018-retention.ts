import type { Migration } from '../../kit/database.ts';

/** What the retention of rows finds them by, and the unfinished jobs of a caller. */
export const retention: Migration = {
  name: '154-retention',
  sql: `
CREATE INDEX audit_events_actor ON audit_events ((actor_guid || ' ' || coalesce(organization_guid, '')), id);
CREATE INDEX jobs_actor ON jobs ((actor ->> 'guid'), id);
CREATE INDEX jobs_unfinished_of ON jobs ((actor ->> 'guid')) WHERE state = 'PROCESSING';
CREATE INDEX jobs_ended ON jobs (updated_at) WHERE state <> 'PROCESSING';
CREATE INDEX tasks_ended ON tasks (updated_at) WHERE state IN ('SUCCEEDED', 'FAILED');
`,
};
