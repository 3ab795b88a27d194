/**
 * The version of the v3 API this room speaks, as clients read it to decide what they may use. The CLI's floor is 3.99.0
 * (v8) and 3.160.0 (v9). Past 3.160.0 it would use what is not here: lifecycle types by CNB (3.168), options of routes
 * (3.183), canary steps (3.189), buildpack lifecycles (3.194). Raise it with the feature, never before.
 */
export const API_VERSION = '3.160.0';
