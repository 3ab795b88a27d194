import { Type } from 'typebox';
import { VariableChanges } from '../environment-variables.ts';

export const UpdateGroup = Type.Object(
  // Nothing to change is no mistake here.
  { var: Type.Optional(VariableChanges) },
  { additionalProperties: false },
);
