import { type Static, Type } from 'typebox';
import { ChangedQuotaName, LIMITS, QuotaName } from '../quotas/schema.ts';
import { ToMany, ToOne } from '../relationships.ts';

export const CreateSpaceQuota = Type.Object(
  {
    name: QuotaName,
    ...LIMITS,
    relationships: Type.Object({ organization: ToOne<'organization'>(), spaces: Type.Optional(ToMany<'space'>()) }),
  },
  { additionalProperties: false },
);

export const UpdateSpaceQuota = Type.Object({ name: ChangedQuotaName, ...LIMITS }, { additionalProperties: false });

/** What create and update have in common. */
export type SpaceQuotaInput = Static<typeof UpdateSpaceQuota>;
