/** What only UAA knows cannot be had now, so no token can be let pass: the caller is to come again. */
export class UaaUnavailableError extends Error {
  override readonly name = 'UaaUnavailableError';
  readonly retryAfterSeconds = 5;
}

/** The answer, or UaaUnavailableError where there is none in time or it fails. */
export async function answerWithin<Answer>(answer: Promise<Answer>, limitMs: number, what: string): Promise<Answer> {
  const late = Promise.withResolvers<never>();
  const unavailable = (cause?: unknown) => new UaaUnavailableError(`${what} are not known`, { cause });
  const timeout = setTimeout(() => late.reject(unavailable()), Math.max(0, limitMs));
  try {
    return await Promise.race([answer, late.promise]);
  } catch (error) {
    throw error instanceof UaaUnavailableError ? error : unavailable(error);
  } finally {
    clearTimeout(timeout);
  }
}
