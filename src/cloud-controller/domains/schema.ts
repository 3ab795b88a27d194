import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ToMany, ToOne } from '../relationships.ts';

export const CreateDomain = Type.Object(
  {
    name: Type.String({ minLength: 3, maxLength: 253 }),
    internal: Type.Optional(Type.Boolean()),
    relationships: Type.Optional(
      Type.Object(
        {
          organization: Type.Optional(ToOne<'organization'>()),
          shared_organizations: Type.Optional(ToMany<'organization'>()),
        },
        { additionalProperties: false, nullRefused: true },
      ),
    ),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
