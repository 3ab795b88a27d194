import { type Static, Type } from 'typebox';
import { Link, type Links, Timestamp, timestamp } from '../view.ts';
import type { FeatureFlag } from './store.ts';

export const FeatureFlagView = Type.Object(
  {
    name: Type.String(),
    enabled: Type.Boolean(),
    updated_at: Type.Union([Timestamp, Type.Null()]),
    custom_error_message: Type.Union([Type.String(), Type.Null()]),
    links: Type.Object({ self: Link }),
  },
  { title: 'FeatureFlag' },
);

export function featureFlagView(links: Links, flag: FeatureFlag): Static<typeof FeatureFlagView> {
  return {
    name: flag.name,
    enabled: flag.enabled,
    updated_at: flag.updated_at && timestamp(flag.updated_at),
    custom_error_message: flag.custom_error_message,
    links: { self: links.to(`/v3/feature_flags/${flag.name}`) },
  };
}
