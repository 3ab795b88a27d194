import { resource } from '../resource.ts';
import { deleteRoleJob, deleteRolesOfUser } from './jobs.ts';
import { roleOperations } from './operations.ts';

export const roles = resource({
  operations: roleOperations,
  jobs: {
    'role.delete': deleteRoleJob,
  },
  contents: { user: deleteRolesOfUser },
});
