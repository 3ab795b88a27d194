import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';
import { ToOne } from '../relationships.ts';

const Name = ResourceName();

export const CreateSpace = Type.Object(
  {
    name: Name,
    relationships: Type.Object({ organization: ToOne<'organization'>() }, { additionalProperties: false }),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateSpace = Type.Object(
  { name: Type.Optional(Name), metadata: Type.Optional(MetadataInput) },
  { additionalProperties: false },
);

export const UpdateFeature = Type.Object({ enabled: Type.Boolean() }, { additionalProperties: false });
