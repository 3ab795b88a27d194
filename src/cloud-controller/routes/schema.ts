import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ToOne } from '../relationships.ts';

export const CreateRoute = Type.Object(
  {
    host: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 253 })])),
    path: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 1000 })])),
    port: Type.Optional(Type.Union([Type.Null(), Type.Integer()])),
    relationships: Type.Object({ space: ToOne, domain: ToOne }, { additionalProperties: false }),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateRoute = Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false });

const Destination = Type.Object(
  {
    app: Type.Object(
      {
        guid: Type.String({ minLength: 1, maxLength: 200 }),
        process: Type.Optional(
          Type.Union([
            Type.Null(),
            Type.Object({ type: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false }),
          ]),
        ),
      },
      { additionalProperties: false },
    ),
    weight: Type.Optional(Type.Union([Type.Null(), Type.Integer()])),
    port: Type.Optional(Type.Union([Type.Null(), Type.Integer({ minimum: 1024, maximum: 65535 })])),
    protocol: Type.Optional(Type.Union([Type.Null(), Type.Enum(['http1', 'http2'])])),
  },
  { additionalProperties: false },
);

export const AddDestinations = Type.Object(
  { destinations: Type.Array(Destination, { minItems: 1, maxItems: 100 }) },
  { additionalProperties: false },
);

export const ReplaceDestinations = Type.Object(
  { destinations: Type.Array(Destination, { maxItems: 100 }) },
  { additionalProperties: false },
);

export const UpdateDestination = Type.Object(
  { protocol: Type.Union([Type.Null(), Type.Enum(['http1', 'http2'])]) },
  { additionalProperties: false },
);
