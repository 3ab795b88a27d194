import { type Static, Type } from 'typebox';

/** A step of `manifest_diff`: JSON-patch with the former value beside it. */
const ManifestDifference = Type.Object({
  op: Type.Enum(['add', 'remove', 'replace']),
  path: Type.String(),
  value: Type.Optional(Type.Unknown()),
  was: Type.Optional(Type.Unknown()),
});
export type ManifestDifference = Static<typeof ManifestDifference>;

export const DiffView = Type.Object({ diff: Type.Array(ManifestDifference) }, { title: 'Diff' });
