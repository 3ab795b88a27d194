import type { Task } from '../../contracts/gen/diego_pb.js';
import { localeOf } from '../stack/packages.ts';

/** The environment buildpacks see: the app's, the operator's for staging, and what the platform says, in growing weight. */
export function stagingEnvironment(
  task: Task,
  operator: Readonly<Record<string, string>>,
  container: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    LANG: localeOf(task.stack),
    PATH: '/usr/local/bin:/usr/bin:/bin',
    ...operator,
    ...Object.fromEntries(task.environment.map(({ name, value }) => [name, value])),
    ...container,
    USER: 'vcap',
    HOME: '/home/vcap',
    TMPDIR: '/home/vcap/tmp',
    CF_STACK: task.stack,
    MEMORY_LIMIT: `${task.memoryMb}m`,
  };
}
