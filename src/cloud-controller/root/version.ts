/**
 * The version of the v3 API this room speaks, as clients read it to decide what they may use. The CLI's floor is 3.99.0
 * (v8) and 3.160.0 (v9). With 3.189.0 it offers canary steps, which are here; options of routes (3.183), of which
 * round-robin is here; and Cloud Native Buildpacks (3.168), which are refused by name. Past it, it would use buildpack
 * lifecycles (3.194), binding strategies (3.205), embedded instances and changed stacks (3.211). Raise it with the feature,
 * never before (docs/decisions/0007).
 */
export const API_VERSION = '3.189.0';
