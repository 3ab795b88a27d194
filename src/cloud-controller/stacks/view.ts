import { type Static, Type } from 'typebox';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView } from '../view.ts';
import { DEFAULT_STACK, type Stack } from './store.ts';

export const StackView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    description: Type.Union([Type.String(), Type.Null()]),
    state: Type.Literal('ACTIVE'),
    state_reason: Type.Null(),
    run_rootfs_image: Type.String(),
    build_rootfs_image: Type.String(),
    default: Type.Boolean(),
    metadata: MetadataView,
    links: Type.Object({ self: Link }),
  },
  { title: 'Stack' },
);

export function stackView(links: Links, row: Stack): Static<typeof StackView> {
  return {
    ...identityView(row),
    name: row.name,
    description: row.description,
    state: 'ACTIVE',
    state_reason: null,
    run_rootfs_image: row.name,
    build_rootfs_image: row.name,
    default: row.name === DEFAULT_STACK,
    metadata: metadataView(row),
    links: { self: links.to(`/v3/stacks/${row.guid}`) },
  };
}
