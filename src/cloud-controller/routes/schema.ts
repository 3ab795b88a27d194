import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ProcessType } from '../processes/schema.ts';
import { GuidOf, ToOne } from '../relationships.ts';
import { RouteOptionsInput } from './options.ts';

export const CreateRoute = Type.Object(
  {
    host: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 253 })])),
    path: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 1000 })])),
    port: Type.Optional(Type.Union([Type.Null(), Type.Integer()])),
    options: Type.Optional(RouteOptionsInput),
    relationships: Type.Object({ space: ToOne<'space'>(), domain: ToOne<'domain'>() }, { additionalProperties: false }),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateRoute = Type.Object(
  { options: Type.Optional(RouteOptionsInput), metadata: Type.Optional(MetadataInput) },
  { additionalProperties: false },
);

const Destination = Type.Object(
  {
    // Clients send an app as they got it, with its name and links.
    app: Type.Object({
      guid: GuidOf<'app'>(),
      process: Type.Optional(
        Type.Union([Type.Null(), Type.Object({ type: ProcessType }, { additionalProperties: false })]),
      ),
    }),
    weight: Type.Optional(Type.Union([Type.Null(), Type.Integer({ exact: true })])),
    port: Type.Optional(Type.Union([Type.Null(), Type.Integer({ minimum: 1024, maximum: 65535, exact: true })])),
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
