import { Type } from 'typebox';
import { ResourceName } from '../names.ts';
import { ToMany } from '../relationships.ts';
import { RuleInput } from './rules.ts';

const strict = { additionalProperties: false };
const Rules = Type.Array(RuleInput, { maxItems: 1000, nullRefused: true });
const Switch = Type.Optional(Type.Boolean({ nullRefused: true }));
const GloballyEnabled = Type.Object({ running: Switch, staging: Switch }, strict);

export const CreateSecurityGroup = Type.Object(
  {
    name: ResourceName({ maxLength: 250 }),
    rules: Type.Optional(Rules),
    globally_enabled: Type.Optional(GloballyEnabled),
    relationships: Type.Optional(
      Type.Object(
        { running_spaces: Type.Optional(ToMany<'space'>()), staging_spaces: Type.Optional(ToMany<'space'>()) },
        { nullRefused: true },
      ),
    ),
  },
  strict,
);

export const UpdateSecurityGroup = Type.Object(
  {
    name: Type.Optional(ResourceName({ maxLength: 250, nullRefused: true })),
    rules: Type.Optional(Rules),
    globally_enabled: Type.Optional(GloballyEnabled),
  },
  strict,
);

/** A thousand rules with their descriptions. */
export const BODY_LIMIT_BYTES = 4 * 1024 ** 2;
