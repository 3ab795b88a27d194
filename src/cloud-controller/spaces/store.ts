import type { RowColumns } from '../database.ts';
import type { MetadataColumns } from '../metadata.ts';

export interface SpaceTable extends RowColumns, MetadataColumns {
  name: string;
  organization_guid: string;
  space_quota_guid: string | null;
  isolation_segment_guid: string | null;
  allow_ssh: boolean;
}
