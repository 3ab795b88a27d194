import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';

export const CreateIsolationSegment = Type.Object(
  { name: ResourceName(), metadata: Type.Optional(MetadataInput) },
  { additionalProperties: false },
);

export const UpdateIsolationSegment = Type.Partial(CreateIsolationSegment, { additionalProperties: false });
