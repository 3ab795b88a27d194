import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ToOne } from '../relationships.ts';

const Username = Type.String({ maxLength: 255 });
const Password = Type.String({ maxLength: 16_384 });

export const CreatePackage = Type.Object(
  {
    type: Type.Optional(Type.String()),
    relationships: Type.Object({ app: ToOne<'app'>() }, { additionalProperties: false }),
    data: Type.Optional(
      Type.Object({
        image: Type.Optional(Type.String({ maxLength: 1024 })),
        username: Type.Optional(Type.Union([Username, Type.Null()])),
        password: Type.Optional(Type.Union([Password, Type.Null()])),
      }),
    ),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdatePackage = Type.Object(
  {
    metadata: Type.Optional(MetadataInput),
    username: Type.Optional(Username),
    password: Type.Optional(Password),
  },
  { additionalProperties: false },
);

function wrongResource(what: string): string {
  return `Resources array contains at least one resource with ${what}`;
}

/** A file that a client asks about, or need not send. */
const Resource = Type.Object({
  checksum: Type.Object({
    value: Type.String({ minLength: 40, maxLength: 40, told: wrongResource('a non-SHA1 checksum value') }),
  }),
  size_in_bytes: Type.Integer({ minimum: 0, exact: true, told: wrongResource('a wrong size_in_bytes') }),
  path: Type.Optional(Type.String()),
  mode: Type.Optional(Type.String({ pattern: '^[0-7]+$', told: wrongResource('an incorrect mode') })),
});

export const MatchResources = Type.Object(
  { resources: Type.Array(Resource, { minItems: 1, maxItems: 5000 }) },
  { additionalProperties: false },
);

export const MatchedResources = Type.Object({ resources: Type.Array(Resource) });
