import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { ImageDescription, ImageStore } from '../images/image-store.ts';
import type { StageTask } from '../rep/collaborators.ts';
import { StagingFailure } from './failure.ts';

/** What staging an image finds out; as JSON it is the result of the task. */
export interface DockerStagingResult {
  lifecycle_type: 'docker';
  /** By its digest. */
  lifecycle_metadata: { docker_image: string };
  process_types: { web: string };
  /** JSON, in the shape of Cloud Foundry's Docker lifecycle. */
  execution_metadata: string;
}

/** Stages container images: asks their registry what they are and pins them. No container is needed, for nothing of them runs. */
export function dockerLifecycle(images: ImageStore, log: Logger): StageTask {
  return async ({ task, signal, log: say }) => {
    if (task.work.case !== 'dockerStaging' || !task.work.value.image) {
      throw new CupolaError('task_not_staging', `${task.taskGuid} stages no image`);
    }
    say('Staging...');
    try {
      const described = await images.describe(task.work.value.image, signal);
      say(`Found ${described.reference}`);
      say('Staging Complete');
      return { failed: false, failureReason: '', result: JSON.stringify(resultOf(described)) };
    } catch (error) {
      signal.throwIfAborted();
      if (!isAboutImage(error)) throw error;
      const failure = new StagingFailure('StagingError', messageOf(error), { cause: error });
      say(`Staging Failed: ${failure.message}`, true);
      log.info('staging failed', { taskGuid: task.taskGuid, reason: failure.reason });
      return { failed: true, failureReason: failure.reason, result: '' };
    }
  };
}

function resultOf({ reference, config }: ImageDescription): DockerStagingResult {
  const { entrypoint, cmd, workingDirectory, user, ports } = config;
  return {
    lifecycle_type: 'docker',
    lifecycle_metadata: { docker_image: reference },
    process_types: { web: [...entrypoint, ...cmd].join(' ') },
    execution_metadata: JSON.stringify({
      ...(cmd.length > 0 ? { cmd } : {}),
      ...(entrypoint.length > 0 ? { entrypoint } : {}),
      workdir: workingDirectory,
      ...(ports.length > 0 ? { ports: ports.map((port) => ({ Port: port, Protocol: 'tcp' })) } : {}),
      ...(user === '' ? {} : { user }),
    }),
  };
}

/** Errors of these codes carry words for the developer. */
export function isAboutImage(error: unknown): error is CupolaError {
  return error instanceof CupolaError && /^(image|registry)_/.test(error.code);
}
