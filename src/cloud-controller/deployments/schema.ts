import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { MetadataInput } from '../metadata.ts';
import { ScaleProcess } from '../processes/schema.ts';
import { ToOne } from '../relationships.ts';
import { STRATEGIES } from './state.ts';

const Weight = Type.Integer({
  minimum: 1,
  maximum: 100,
  exact: true,
  sentence: 'must be an Integer between 1-100 (inclusive)',
});
const Canary = Type.Object(
  {
    steps: Type.Optional(
      Type.Array(Type.Object({ instance_weight: Weight }, { additionalProperties: false }), {
        minItems: 1,
        maxItems: 100,
      }),
    ),
  },
  { additionalProperties: false },
);
const Options = Type.Object(
  {
    max_in_flight: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, exact: true })),
    web_instances: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    memory_in_mb: ScaleProcess.properties.memory_in_mb,
    disk_in_mb: ScaleProcess.properties.disk_in_mb,
    log_rate_limit_in_bytes_per_second: ScaleProcess.properties.log_rate_limit_in_bytes_per_second,
    canary: Type.Optional(Canary),
  },
  { additionalProperties: false },
);
export type Options = Static<typeof Options>;

export const CreateDeployment = Type.Object(
  {
    relationships: Type.Object({ app: ToOne<'app'>() }, { additionalProperties: false }),
    droplet: Type.Optional(Type.Object({ guid: Type.Unsafe<Guid<'droplet'>>(Type.String()) })),
    revision: Type.Optional(Type.Object({ guid: Type.String() })),
    strategy: Type.Optional(
      Type.Enum([...STRATEGIES], { sentence: "'%value' is not a supported deployment strategy" }),
    ),
    options: Type.Optional(Options),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
