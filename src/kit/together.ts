/**
 * Like `Promise.all`, but settles only when all have: after a failure nothing is still being made that a clean-up would miss.
 */
export async function together<T extends readonly unknown[] | []>(
  work: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
