import { Type } from 'typebox';
import { VariableChanges } from '../environment-variables.ts';
import { LifecycleInput } from '../lifecycle.ts';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';
import { ToOne } from '../relationships.ts';

const Name = ResourceName({ missing: 'must be a string' });

export const CreateApp = Type.Object(
  {
    name: Name,
    relationships: Type.Object({ space: ToOne<'space'>() }, { additionalProperties: false }),
    environment_variables: Type.Optional(Type.Record(Type.String(), Type.String())),
    lifecycle: Type.Optional(LifecycleInput),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateApp = Type.Object(
  {
    name: Type.Optional(Name),
    lifecycle: Type.Optional(LifecycleInput),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const UpdateVariables = Type.Object({ var: VariableChanges }, { additionalProperties: false });
export const UpdateFeature = Type.Object({ enabled: Type.Boolean() }, { additionalProperties: false });
