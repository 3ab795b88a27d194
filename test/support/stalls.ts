/**
 * Milliseconds of processor time for which nobody else had a turn while `work` went on, at most. Of this thread alone: a busy
 * machine, a collection of garbage beside it and what the thread pool does are no stalls of ours.
 */
export async function longestStall(work: () => Promise<unknown>): Promise<number> {
  const used = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let longest = 0;
  let since = used();
  let immediate: NodeJS.Immediate;
  const turn = (): void => {
    const now = used();
    longest = Math.max(longest, now - since);
    since = now;
    immediate = setImmediate(turn);
  };
  turn();
  try {
    await work();
  } finally {
    clearImmediate(immediate!);
  }
  return Math.max(longest, used() - since);
}
