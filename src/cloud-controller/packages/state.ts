/** What becomes of what is uploaded, copied or named. */
export const PACKAGE_STATES = [
  'AWAITING_UPLOAD',
  'PROCESSING_UPLOAD',
  'READY',
  'FAILED',
  'COPYING',
  'EXPIRED',
] as const;
export type PackageState = (typeof PACKAGE_STATES)[number];
