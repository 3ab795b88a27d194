/** A task is handed over, runs, and ends one way or the other: one that is cancelled ends as FAILED. */
export const TASK_STATES = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELING'] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** Those of a task that has not ended. */
export const UNENDED = ['PENDING', 'RUNNING', 'CANCELING'] as const satisfies readonly TaskState[];
