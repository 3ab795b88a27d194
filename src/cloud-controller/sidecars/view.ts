import { type Static, Type } from 'typebox';
import { type Reader, shown } from '../fields.ts';
import { IDENTITY, identityView, ToOneView, toOne } from '../view.ts';
import type { Sidecar } from './store.ts';

export const SidecarView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    command: Type.String(),
    process_types: Type.Array(Type.String()),
    memory_in_mb: Type.Union([Type.Integer(), Type.Null()]),
    origin: Type.Enum(['user', 'buildpack']),
    relationships: Type.Object({ app: ToOneView }),
  },
  { title: 'Sidecar' },
);

export function sidecarView(row: Sidecar, reader: Reader): Static<typeof SidecarView> {
  return {
    ...identityView(row),
    name: row.name,
    command: shown(reader, 'sidecar.command', row.command),
    process_types: row.process_types,
    memory_in_mb: row.memory_mb,
    origin: row.origin,
    relationships: { app: toOne(row.app_guid) },
  };
}
