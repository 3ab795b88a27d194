/**
 * What `control` does, by the parts that may each be a process: the API with its blobs, sign-in and tokens, Diego's brain, the log cache,
 * the driver of the router, and the SSH proxy.
 */
export const ROLES = ['api', 'uaa', 'brain', 'logs', 'routing', 'ssh'] as const;
export type Role = (typeof ROLES)[number];

/** Those that may have a process of their own; the API stays `control`'s. */
export const SEPARABLE = ['uaa', 'brain', 'logs', 'routing', 'ssh'] as const satisfies readonly Role[];
export type SeparableRole = (typeof SEPARABLE)[number];
