import { type Static, Type } from 'typebox';
import { ChangedQuotaName, GROUP, LIMITS, Limit, QuotaName } from '../quotas/schema.ts';
import { ToMany } from '../relationships.ts';

const limits = { ...LIMITS, domains: Type.Optional(Type.Object({ total_domains: Limit }, GROUP)) };

export const CreateOrganizationQuota = Type.Object(
  {
    name: QuotaName,
    ...limits,
    relationships: Type.Optional(
      Type.Object({ organizations: Type.Optional(ToMany<'organization'>()) }, { nullRefused: true }),
    ),
  },
  { additionalProperties: false },
);

export const UpdateOrganizationQuota = Type.Object(
  { name: ChangedQuotaName, ...limits },
  { additionalProperties: false },
);

/** What create and update have in common. */
export type OrganizationQuotaInput = Static<typeof UpdateOrganizationQuota>;
