import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';

export const ToOne = Type.Object(
  { data: Type.Object({ guid: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false }) },
  { additionalProperties: false },
);
export const NullableToOne = Type.Object(
  {
    data: Type.Union([
      Type.Object({ guid: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false }),
      Type.Null(),
    ]),
  },
  { additionalProperties: false },
);

const Name = Type.String({ minLength: 1, maxLength: 255 });

/** Values are text; null, in an update, removes. */
export const VariableChanges = Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]));

export const Lifecycle = Type.Object(
  {
    type: Type.Optional(Type.String()),
    data: Type.Optional(
      Type.Object(
        {
          buildpacks: Type.Optional(
            Type.Union([Type.Array(Type.String({ minLength: 1 }), { maxItems: 20 }), Type.Null()]),
          ),
          stack: Type.Optional(Type.Union([Type.String(), Type.Null()])),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

export const CreateApp = Type.Object(
  {
    name: Name,
    relationships: Type.Object({ space: ToOne }, { additionalProperties: false }),
    environment_variables: Type.Optional(Type.Record(Type.String(), Type.String())),
    lifecycle: Type.Optional(Lifecycle),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateApp = Type.Object(
  {
    name: Type.Optional(Name),
    lifecycle: Type.Optional(Lifecycle),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateVariables = Type.Object({ var: VariableChanges }, { additionalProperties: false });
export const UpdateFeature = Type.Object({ enabled: Type.Boolean() }, { additionalProperties: false });
