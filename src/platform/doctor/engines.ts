import { messageOf } from '../../kit/errors.ts';
import { chosenImage, type EngineImage, engineImages, enginesOf } from '../engines/image/image.ts';
import { usersOf } from '../inventory/running.ts';
import { layoutOf } from '../layout.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('engines');
const DAY_MS = 86_400_000;
/** Debian's stable has repairs of something in an image about as often. */
const OLD_DAYS = 30;

/** Whether the engines' image is there, nobody's but root's, and not old; and whether something still runs of one of before. Asks no registry. */
export async function engineFindings(settings: PlatformSettings | null, now = Date.now()): Promise<Finding[]> {
  if (!settings) return [ok('image', 'none yet; ./cupola up makes one')];
  const { engines: directory } = layoutOf(settings);
  try {
    const image = chosenImage(directory, settings.engineSources);
    if (!image) return [warn('image', 'of this version none yet', './cupola up makes it, and ./cupola upgrade')];
    return [whole(image), age(image, now), ...leftBehind(image, await engineImages(directory))];
  } catch (error) {
    const advice = `whoever wrote there could have changed the engines: remove ${directory}, and ./cupola up`;
    return [fail('image', messageOf(error), advice)];
  }
}

function whole(image: EngineImage): Finding {
  const versions = enginesOf(image).map(({ name, version }) => `${name} ${version}`);
  return ok('image', [`${image.digest}, ${image.packages.length} packages`, ...versions].join(', '));
}

function age({ made }: EngineImage, now: number): Finding {
  const days = Math.floor((now - Date.parse(made)) / DAY_MS);
  const found = `made ${made.slice(0, 10)}`;
  return days < OLD_DAYS
    ? ok('packages', found)
    : warn('packages', `${found}, ${days} days ago`, './cupola engines update takes the repairs that there are since');
}

/** Containers keep the runtime that they were started by; all else is replaced. */
function leftBehind(used: EngineImage, images: readonly EngineImage[]): Finding[] {
  const others = images.filter(({ digest }) => digest !== used.digest);
  return [...usersOf(others.map(({ root }) => root))].map(([root, names]) => {
    const { digest } = others.find((image) => image.root === root)!;
    const running = [...new Set(names)].sort().join(', ');
    return warn(
      'a former image',
      `${digest}: ${running}`,
      'its conmon and catatonit go as apps restart; ./cupola upgrade replaces the rest',
    );
  });
}
