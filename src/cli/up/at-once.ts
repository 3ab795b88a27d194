import { together } from '../../kit/together.ts';

/**
 * Does several things at the same time; what each says is told behind its name. When one that said something has ended, those that are still
 * waited for are named. Settles when all have: a failure leaves nothing under way.
 */
export async function atOnce(
  tell: (text: string) => void,
  works: Readonly<Record<string, (say: (text: string) => void) => Promise<void>>>,
): Promise<void> {
  const waiting = new Set(Object.keys(works));
  const all = Object.entries(works).map(async ([name, work]) => {
    let isSilent = true;
    await work((text) => {
      isSilent = false;
      tell(`${name}: ${text}`);
    }).finally(() => waiting.delete(name));
    const rest = waiting.size === 0 ? '' : `; waiting for: ${[...waiting].join(', ')}`;
    if (!isSilent) tell(`${name}: done${rest}`);
  });
  await together(all);
}
