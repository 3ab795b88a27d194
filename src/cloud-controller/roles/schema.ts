import { Type } from 'typebox';
import { ToOne } from '../relationships.ts';

const Text = Type.String({ minLength: 1, maxLength: 255 });

export const CreateRole = Type.Object(
  {
    type: Type.Enum([
      'organization_user',
      'organization_auditor',
      'organization_manager',
      'organization_billing_manager',
      'space_auditor',
      'space_developer',
      'space_manager',
      'space_supporter',
    ]),
    relationships: Type.Object(
      {
        user: Type.Object(
          {
            data: Type.Object(
              { guid: Type.Optional(Text), username: Type.Optional(Text), origin: Type.Optional(Text) },
              { additionalProperties: false },
            ),
          },
          { additionalProperties: false },
        ),
        organization: Type.Optional(ToOne),
        space: Type.Optional(ToOne),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
