import { resource } from '../resource.ts';
import { appActionOperations } from './operations.ts';

/** What makes an app with its processes, starts and stops them, and gives them another droplet. */
export const appActions = resource({
  operations: appActionOperations,
});
