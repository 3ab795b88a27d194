import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';

const Name = ResourceName();

export const CreateOrganization = Type.Object(
  { name: Name, suspended: Type.Optional(Type.Boolean()), metadata: Type.Optional(MetadataInput) },
  { additionalProperties: false },
);

export const UpdateOrganization = Type.Partial(CreateOrganization, { additionalProperties: false });
