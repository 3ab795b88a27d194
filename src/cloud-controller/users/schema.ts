import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';

const Text = Type.String({ minLength: 1, maxLength: 200 });

export const CreateUser = Type.Object(
  {
    guid: Type.Optional(Text),
    username: Type.Optional(Text),
    origin: Type.Optional(Text),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
