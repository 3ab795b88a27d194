import { Type } from 'typebox';
import { ToOne } from '../relationships.ts';
import { ORGANIZATION_ROLES, SPACE_ROLES } from '../role-names.ts';

const Text = Type.String({ minLength: 1, maxLength: 255 });

const TYPES = [...ORGANIZATION_ROLES, ...SPACE_ROLES];

export const CreateRole = Type.Object(
  {
    type: Type.Enum(TYPES, { sentence: `must be one of the allowed types ${JSON.stringify(TYPES)}` }),
    relationships: Type.Object(
      {
        user: Type.Object(
          {
            data: Type.Object({
              guid: Type.Optional(Text),
              username: Type.Optional(Text),
              origin: Type.Optional(Text),
            }),
          },
          { additionalProperties: false },
        ),
        organization: Type.Optional(ToOne<'organization'>()),
        space: Type.Optional(ToOne<'space'>()),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
