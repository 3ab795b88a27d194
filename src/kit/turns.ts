import { setImmediate } from 'node:timers/promises';

/** How long a loop over what a caller sent goes on before everybody else has a turn. */
const TURN_MS = 10;
/** The clock is asked after so many items. */
const ASK_AFTER = 64;

/** The same items; between them others have their turn now and then, so that a long list holds nobody up. */
export async function* inTurns<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  let since = performance.now();
  let count = 0;
  for (const item of items) {
    yield item;
    count += 1;
    if (count % ASK_AFTER !== 0 || performance.now() - since < TURN_MS) continue;
    await setImmediate();
    since = performance.now();
  }
}

/** Takes all steps of something; after each of them others have their turn. */
export async function inSteps<Result>(steps: Iterator<void, Result>): Promise<Result> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await setImmediate();
  }
}
