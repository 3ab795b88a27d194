/** Reasons the v3 API knows for a build that failed. */
export type StagingErrorCode =
  | 'NoAppDetectedError'
  | 'BuildpackCompileFailed'
  | 'BuildpackReleaseFailed'
  | 'StagingTimeExpired'
  | 'InsufficientResources'
  | 'StagingError';

/** Staging failed because of the app or its buildpack; the message is for the developer. */
export class StagingFailure extends Error {
  readonly code: StagingErrorCode;

  constructor(code: StagingErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StagingFailure';
    this.code = code;
  }

  /** As the task's failure reason carries it. */
  get reason(): string {
    return `${this.code}: ${this.message}`;
  }
}

/** What is known when the builder ended otherwise than with 0. */
export interface BuilderEnd {
  exitCode: number;
  outOfMemory: boolean;
  diskFull: boolean;
  memoryMb: number;
  diskMb: number;
}

export function failureOf(end: BuilderEnd): StagingFailure {
  if (end.outOfMemory) {
    return new StagingFailure('StagingError', `Staging used more than the ${end.memoryMb}M of memory it has`);
  }
  if (end.diskFull) {
    return new StagingFailure('StagingError', `Staging used more than the ${end.diskMb}M of disk it has`);
  }
  switch (end.exitCode) {
    case 222:
      return new StagingFailure(
        'NoAppDetectedError',
        'An app was not successfully detected by any available buildpack',
      );
    case 223:
      return new StagingFailure('BuildpackCompileFailed', 'App staging failed in the buildpack compile phase');
    case 224:
      return new StagingFailure('BuildpackReleaseFailed', 'App staging failed in the buildpack release phase');
    default:
      return new StagingFailure('StagingError', `Staging failed with exit status ${end.exitCode}`);
  }
}
