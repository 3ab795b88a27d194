import { Type } from 'typebox';

/** How requests are spread over a route's instances; the router has no other way. */
export const LOAD_BALANCING = ['round-robin'] as const;

/** Options of one route. What the router cannot do is refused here, so that no option is taken and then has no effect. */
export interface RouteOptions {
  loadbalancing?: (typeof LOAD_BALANCING)[number];
}

/** Options in a request; null takes one away. */
export const RouteOptionsInput = Type.Object(
  {
    loadbalancing: Type.Optional(
      Type.Union([Type.Null(), Type.Enum(LOAD_BALANCING)], {
        sentence: `must be one of '${LOAD_BALANCING.join(', ')}' if present; '%value' is not available on this platform`,
      }),
    ),
  },
  { additionalProperties: false, nullRefused: true },
);

/** Options in a request. */
export type OptionChanges = { loadbalancing?: RouteOptions['loadbalancing'] | null };

/** The options a route has after this request. */
export function mergeOptions(before: RouteOptions, changes: OptionChanges = {}): RouteOptions {
  const loadbalancing = changes.loadbalancing === undefined ? before.loadbalancing : changes.loadbalancing;
  return loadbalancing ? { loadbalancing } : {};
}
