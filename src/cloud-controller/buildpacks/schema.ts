import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';

const Name = Type.String({ minLength: 1, maxLength: 250, pattern: '^[\\w .-]+$' });
const settable = (nullRefused: boolean) => ({
  stack: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Null()])),
  position: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, nullRefused })),
  enabled: Type.Optional(Type.Boolean({ nullRefused })),
  locked: Type.Optional(Type.Boolean({ nullRefused })),
  metadata: Type.Optional(MetadataInput),
});

export const CreateBuildpack = Type.Object(
  {
    name: Name,
    ...settable(false),
    // Cloud Native Buildpacks are not here; asking for one by `cnb` is refused.
    lifecycle: Type.Optional(Type.Literal('buildpack', { sentence: "must be 'buildpack'; 'cnb' is not available" })),
  },
  { additionalProperties: false },
);

export const UpdateBuildpack = Type.Object(
  { name: Type.Optional(Name), ...settable(true) },
  { additionalProperties: false },
);
