import { Type } from 'typebox';

/** Variables in a request: values are text; null, in an update, removes. */
export const VariableChanges = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Null()], {
    told: "Non-string value in environment variable for key '%key', value '%value'",
  }),
);

/** What the API says about names no app may set; that no text holds a NUL is seen to where bodies are read. */
export function environmentProblems(variables: Readonly<Record<string, unknown>>): string[] {
  const problems = new Set<string>();
  for (const name of Object.keys(variables)) {
    if (name === '') problems.add('key must be a minimum length of 1');
    if (/^VCAP_/i.test(name)) problems.add('cannot start with VCAP_');
    if (/^VMC_/i.test(name)) problems.add('cannot start with VMC_');
    if (/^PORT$/i.test(name)) problems.add('cannot set PORT');
    if (name.includes('=')) problems.add('key must not contain "="');
  }
  return [...problems];
}
