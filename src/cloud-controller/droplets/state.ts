/** What becomes of what staging made, or of what is uploaded or copied. */
export const DROPLET_STATES = [
  'AWAITING_UPLOAD',
  'PROCESSING_UPLOAD',
  'STAGED',
  'COPYING',
  'FAILED',
  'EXPIRED',
] as const;
export type DropletState = (typeof DROPLET_STATES)[number];
