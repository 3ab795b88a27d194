import { Type } from 'typebox';

export const UpdateFeatureFlag = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ nullRefused: true })),
    custom_error_message: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 250 })])),
  },
  { additionalProperties: false },
);
