import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';

const Name = Type.String({ minLength: 1, maxLength: 255 });

export const CreateOrganization = Type.Object(
  { name: Name, suspended: Type.Optional(Type.Boolean()), metadata: Type.Optional(MetadataInput) },
  { additionalProperties: false },
);

export const UpdateOrganization = Type.Partial(CreateOrganization, { additionalProperties: false });
