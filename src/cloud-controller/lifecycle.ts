import { Type } from 'typebox';

/** How an app comes to run: made by buildpacks, or an image that is there. */
export type Lifecycle = 'buildpack' | 'docker';

const Buildpack = Type.String({ minLength: 1, maxLength: 4096 });
/** What a body says of it. */
export const LifecycleInput = Type.Object(
  {
    type: Type.Optional(Type.String()),
    data: Type.Optional(
      Type.Object(
        {
          buildpacks: Type.Optional(Type.Union([Type.Array(Buildpack, { maxItems: 20 }), Type.Null()])),
          stack: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Null()])),
        },
        { additionalProperties: false, nullRefused: true },
      ),
    ),
  },
  { nullRefused: true },
);
