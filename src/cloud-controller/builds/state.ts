/** A build stages once, and ends one way or the other. */
export const BUILD_STATES = ['STAGING', 'STAGED', 'FAILED'] as const;
export type BuildState = (typeof BUILD_STATES)[number];
