import { resource } from '../resource.ts';
import { cancelTasksOfApp } from './contents.ts';
import { taskOperations } from './operations.ts';

export const tasks = resource({
  operations: taskOperations,
  contents: { app: cancelTasksOfApp },
});
