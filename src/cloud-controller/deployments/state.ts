export const STRATEGIES = ['rolling', 'canary', 'recreate'] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** A deployment under way, and one that is over; each with why it is. */
const UNDER_WAY = ['DEPLOYING', 'PAUSED', 'CANCELING'] as const;
const OVER = ['DEPLOYED', 'CANCELED', 'SUPERSEDED'] as const;
export const STATUS_VALUES = ['ACTIVE', 'FINALIZED'] as const;
export const STATUS_REASONS = [...UNDER_WAY, ...OVER] as const;

export type StatusValue = (typeof STATUS_VALUES)[number];
export type StatusReason = (typeof STATUS_REASONS)[number];

/** The value that goes with a reason. */
export function statusValue(reason: StatusReason): StatusValue {
  return UNDER_WAY.some((one) => one === reason) ? 'ACTIVE' : 'FINALIZED';
}
