/** No access token lives longer, whatever its client asks for: UAA makes none, and no verifier takes one. */
export const MAX_ACCESS_TOKEN_SECONDS = 12 * 3_600;
