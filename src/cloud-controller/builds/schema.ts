import { Type } from 'typebox';
import { LifecycleInput } from '../lifecycle.ts';
import { MetadataInput } from '../metadata.ts';

const Megabytes = Type.Union([Type.Integer({ exclusiveMinimum: 0, maximum: 1_048_576 }), Type.Null()]);

export const CreateBuild = Type.Object(
  {
    package: Type.Object({ guid: Type.String() }),
    lifecycle: Type.Optional(LifecycleInput),
    staging_memory_in_mb: Type.Optional(Megabytes),
    staging_disk_in_mb: Type.Optional(Megabytes),
    staging_log_rate_limit_bytes_per_second: Type.Optional(Type.Union([Type.Integer({ minimum: -1 }), Type.Null()])),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
