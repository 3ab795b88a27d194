import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureStack } from '../cell/stack/stack.ts';
import type { Logger } from '../kit/log.ts';
import { run } from '../kit/process.ts';
import { buildSystemBuildpacks } from './buildpacks/build.ts';
import type { Layout } from './settings.ts';

/** The stack every app runs on unless it names another. */
export const DEFAULT_STACK = 'debian12';

const COPY_LIMIT_MS = 10 * 60_000;

export interface PrepareOptions {
  layout: Layout;
  log: Logger;
  onProgress: (text: string) => void;
}

/** Builds the stack unless it is there; CUPOLA_STACK_CACHE may name a directory that holds it built. */
export async function prepareStack({ layout, log, onProgress }: PrepareOptions): Promise<void> {
  const directory = layout.stacks;
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const cache = process.env['CUPOLA_STACK_CACHE'];
  if (cache && isStack(join(cache, DEFAULT_STACK)) && !isStack(join(directory, DEFAULT_STACK))) {
    onProgress(`Copying ${DEFAULT_STACK} from ${cache}`);
    const part = join(directory, `.${DEFAULT_STACK}.building-copy`); // ensureStack sweeps up what stayed of such a name
    rmSync(part, { recursive: true, force: true });
    await run('cp', ['-a', '--reflink=auto', '--', join(cache, DEFAULT_STACK), part], { timeoutMs: COPY_LIMIT_MS });
    renameSync(part, join(directory, DEFAULT_STACK));
  }
  await ensureStack({ directory, name: DEFAULT_STACK, log, onProgress });
}

/**
 * Builds the system buildpacks that changed (CUPOLA_BUILDPACK_CACHE may name a directory for what is fetched and built, which
 * installations share) and lists them in the data directory's buildpacks.json.
 */
export async function prepareBuildpacks(project: string, options: PrepareOptions): Promise<void> {
  const { layout, log, onProgress } = options;
  const { dataDirectory } = layout.settings;
  const cache = process.env['CUPOLA_BUILDPACK_CACHE'];
  const built = await buildSystemBuildpacks({
    sourceDirectory: join(project, 'buildpacks'),
    outputDirectory: layout.buildpacks,
    cacheDirectory: cache ?? join(dataDirectory, 'cache'),
    ...(cache ? { sharedDirectory: join(cache, 'built') } : {}),
    stack: DEFAULT_STACK,
    log,
    onProgress,
  });
  const list = join(dataDirectory, 'buildpacks.json');
  writeFileSync(`${list}.part`, `${JSON.stringify(built, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${list}.part`, list);
}

function isStack(home: string): boolean {
  return existsSync(join(home, 'rootfs/etc/cupola-stack'));
}
