import type { Lane } from './shared.ts';

/**
 * They measure how fast something is, or how long it takes: beside others they would measure those. The first is made ready beside the
 * last of the others, and waits for their end (`quiet` of test/support/quiet.ts).
 */
export const ALONE: ReadonlySet<string> = new Set(['test/e2e/bombs.test.ts']);

/**
 * They hold how soon something is back, or that clients wait through it, and not how busy the machine is: one at a time, and it goes
 * first wherever it wants a processor that others want.
 */
export const TIMED: ReadonlySet<string> = new Set([
  'test/e2e/cells.test.ts',
  'test/e2e/faults.test.ts',
  'test/e2e/machine-faults.test.ts',
  'test/e2e/operator.test.ts',
]);

/** About how many seconds files take that take long: two at once on two processors. What is not named here is short. */
export const SECONDS: Readonly<Record<string, number>> = {
  'test/e2e/shared/compiled-buildpacks.test.ts': 130,
  'test/e2e/shared/scripting-buildpacks.test.ts': 190,
  'test/e2e/cells.test.ts': 150,
  'test/e2e/shared/processes.test.ts': 175,
  'test/e2e/push.test.ts': 135,
  'test/e2e/operator.test.ts': 145,
  'test/e2e/machine-faults.test.ts': 140,
  'test/e2e/faults.test.ts': 90,
  'test/e2e/planted-secrets.test.ts': 70,
  'test/e2e/local-accounts.test.ts': 65,
  'test/e2e/shared/hostile-neighbour.test.ts': 60,
  'test/e2e/shared/docker.test.ts': 70,
  'test/integration/cloud-controller/uploads.test.ts': 65,
  'test/integration/cloud-controller/quotas.test.ts': 60,
  'test/integration/cloud-controller/cf-cli.test.ts': 55,
  'test/e2e/shared/ssh.test.ts': 55,
  'test/integration/platform/doors.test.ts': 45,
  'test/e2e/shared/early-answers.test.ts': 35,
  'test/integration/cloud-controller/app-actions.test.ts': 35,
};
/** A new end-to-end file puts up a platform at least. */
const END_TO_END_SECONDS = 60;

/**
 * What takes longest begins first, so that at the end nothing is waited for alone, and of what is short the machines of several files;
 * before all, what runs one at a time.
 */
export function inOrder(lanes: readonly Lane[]): Lane[] {
  const seconds = ({ files }: Lane): number => files.reduce((sum, file) => sum + secondsOf(file), 0);
  const byTime = lanes.toSorted((one, other) => seconds(other) - seconds(one) || other.files.length - one.files.length);
  return [...byTime.filter(isTimed), ...byTime.filter((lane) => !isTimed(lane))];
}

/**
 * Does `work` for each lane, in this order, so many at once, and one at a time of what is timed; of those that share a platform, which
 * wait more than they compute, two count as one. What does not fit waits for those after it that do; `last` begins once each other has.
 * Rejects with a failure of `work` once all is done.
 */
export async function inLanes(
  lanes: readonly Lane[],
  atOnce: number,
  work: (lane: Lane) => Promise<void>,
  last?: Lane,
): Promise<void> {
  const waiting = last ? [...lanes, last] : [...lanes];
  const began: Promise<void>[] = [];
  const running = new Set<Promise<void>>();
  const takes = (lane: Lane): number => (atOnce > 2 && lane.isShared ? 0.5 : 1);
  let free = atOnce;
  let timed = false;
  const fits = (lane: Lane): boolean => takes(lane) <= free && !(timed && isTimed(lane));
  while (waiting.length > 0 || running.size > 0) {
    const index = waiting.findIndex((lane) => fits(lane) && (lane !== last || waiting.length === 1));
    const [next] = index < 0 ? [] : waiting.splice(index, 1);
    if (next === undefined) {
      await Promise.race(running).catch(() => {}); // told at the end
      continue;
    }
    free -= takes(next);
    if (isTimed(next)) timed = true;
    const working = work(next).finally(() => {
      free += takes(next);
      if (isTimed(next)) timed = false;
      running.delete(working);
    });
    began.push(working);
    running.add(working);
  }
  await Promise.all(began);
}

/**
 * The same, and then the lanes that are to be alone, one after the other: the first begins once there is room for it and nothing else left
 * to begin, and `quiet` tells it that the others have ended.
 */
export async function inLanesThenAlone(
  lanes: readonly Lane[],
  [first, ...others]: readonly Lane[],
  atOnce: number,
  work: (lane: Lane) => Promise<void>,
  quiet: () => void,
): Promise<void> {
  let left = lanes.length;
  if (left === 0) quiet();
  const each = async (lane: Lane): Promise<void> => {
    try {
      await work(lane);
    } finally {
      if (lane !== first && --left === 0) quiet();
    }
  };
  await inLanes(lanes, atOnce, each, first);
  for (const lane of others) await work(lane);
}

/** Whether a lane has a file that is timed. */
export function isTimed({ files }: Lane): boolean {
  return files.some((file) => TIMED.has(file));
}

/** About how long a file takes. */
export function secondsOf(file: string): number {
  return SECONDS[file] ?? (file.startsWith('test/integration/') ? 0 : END_TO_END_SECONDS);
}
