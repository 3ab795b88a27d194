import { resource } from '../resource.ts';
import { deleteUser } from './jobs.ts';
import { userOperations } from './operations.ts';

export const users = resource({
  operations: userOperations,
  jobs: {
    'user.delete': deleteUser,
  },
});
