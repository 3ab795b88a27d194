import { Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';

const LARGEST = 2_147_483_647;
const Megabytes = Type.Integer({ exclusiveMinimum: 0, maximum: LARGEST });

export const CreateTask = Type.Object(
  {
    command: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    name: Type.Optional(ResourceName()),
    memory_in_mb: Type.Optional(Megabytes),
    disk_in_mb: Type.Optional(Megabytes),
    log_rate_limit_in_bytes_per_second: Type.Optional(Type.Integer({ minimum: -1, maximum: LARGEST })),
    droplet_guid: Type.Optional(Type.Unsafe<Guid<'droplet'>>(Type.String())),
    template: Type.Optional(Type.Object({ process: Type.Object({ guid: Type.String() }) }, { nullRefused: true })),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
